"""Stage 1 of 6: find the keys of a `runtime_env` that would add code to the image or replace the image.

https://docs.ray.io/en/releases-2.48.0/ray-core/handling-dependencies.html#api-reference
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Optional

from slim_ray_image.core.errors import Problem
from slim_ray_image.core.serve.serve_schema import show
from slim_ray_image.core.serve.yaml_lines import Located

_INSTALLERS = ("conda", "pip", "uv")
_IMAGES = ("container", "image_uri")
_PROGRAM = "py_executable"
_CODE = ("py_modules", "working_dir")
_REMOTE = ("azure://", "file://", "gs://", "https://", "s3://")


@dataclass(frozen=True)
class RuntimeEnv:
    """A `runtime_env` of a Serve config or a RayJob, with its key path, such as "applications[0].runtime_env"."""

    value: Located
    path: str


@dataclass(frozen=True)
class _Found:
    """A key of a `runtime_env` that is set."""

    key: str
    value: Located
    path: str

    def bullet(self, file: str) -> str:
        return f"{file}:{self.value.line}: {self.path} is {show(self.value)}"


def _set_keys(environments: Iterable[RuntimeEnv], keys: Iterable[str]) -> Iterator[_Found]:
    for environment in environments:
        for key in keys:
            found = environment.value.get(key)
            if found is not None and found.value:
                yield _Found(key, found, f"{environment.path}.{key}")


def _is_remote(found: _Found) -> bool:
    plain = found.value.plain
    places = plain if isinstance(plain, list) else [plain]
    return all(isinstance(place, str) and place.startswith(_REMOTE) for place in places)


def _packages(value: Any) -> Iterator[str]:
    """Yield the requirements in the value of `pip`, `uv` or `conda`: a list or a mapping. A file's name yields none."""
    if isinstance(value, list):
        for item in value:
            yield from [item] if isinstance(item, str) else _packages(item)
    elif isinstance(value, dict):
        for key in ("packages", "dependencies", "pip"):
            yield from _packages(value.get(key))


def _fixes(found: Iterable[_Found]) -> Iterator[str]:
    by_key: dict[str, list[_Found]] = {}
    for each in found:
        by_key.setdefault(each.key, []).append(each)
    for key, places in by_key.items():
        if key in _INSTALLERS:
            packages = sorted(
                {p for place in places for p in _packages(place.value.plain)} - {"pip"}
            )
            what = ", ".join(map(repr, packages)) or "the packages"
            yield (
                f"remove `{key}`, and add {what} to the requirements and the lockfile of the image's resolve; imports, "
                "or `dependencies` of the target, then put them into the image"
            )
        elif key == _PROGRAM:
            yield f"remove `{key}`: the code has to run with the image's own Python"
        elif key in _IMAGES:
            yield f"remove `{key}`: the code has to run in this image; if the base lacks something, set `base_image`"
        else:
            yield f"remove `{key}`: the image already contains the imported code"


def other_code(file: str, environments: Iterable[RuntimeEnv]) -> Optional[Problem]:
    """Return the problem that a `runtime_env` makes Ray run code from outside of the image; None if none does.

    Such keys install distributions when a replica starts, run another Python or image, or add code from a local folder.
    Variables (`env_vars`) are allowed.
    """
    everything = _set_keys(environments, (*_INSTALLERS, _PROGRAM, *_IMAGES, *_CODE))
    found = [each for each in everything if each.key not in _CODE or not _is_remote(each)]
    if not found:
        return None
    found.sort(key=lambda each: (each.value.line, each.path))
    return Problem(
        f"A `runtime_env` in {file} would run code from outside of the image.",
        tuple(each.bullet(file) for each in found),
        tuple(_fixes(found)),
    )


def remote_code(file: str, environments: Iterable[RuntimeEnv]) -> Iterator[str]:
    """Yield a warning if a `runtime_env` fetches code from a URL: it hides the image's modules of the same name."""
    found = [each for each in _set_keys(environments, _CODE) if _is_remote(each)]
    if found:
        evidence = "\n".join(f"  * {each.bullet(file)}" for each in found)
        yield (
            f"A `runtime_env` in {file} fetches code that takes precedence over the image's code:\n\n{evidence}\n\n"
            "To fix, remove these keys: the image already contains the imported code."
        )
