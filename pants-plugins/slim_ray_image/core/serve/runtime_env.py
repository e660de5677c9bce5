"""Stage 1 of 6: what of a `runtime_env` would put other code beside that of the image, or another image in its place.

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
    """A `runtime_env`, with its key path."""

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
    """The requirements among what an installer is given: a list, a mapping that holds one, or the name of a file."""
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
            what = ", ".join(map(repr, packages)) or "what it installs"
            yield (
                f"add {what} to the requirements and the lockfile of the image's resolve, where imports or "
                f"`dependencies` of the target bring it into the image, and remove `{key}`"
            )
        elif key == _PROGRAM:
            yield f"remove `{key}`: the image's own Python is the one to run"
        elif key in _IMAGES:
            yield f"remove `{key}`: the image is the one to run; what its base lacks belongs into another `base_image`"
        else:
            yield f"remove `{key}`: the image holds the code that is imported"


def other_code(file: str, environments: Iterable[RuntimeEnv]) -> Optional[Problem]:
    """Return why Ray would run other code than the image's; None where it would not.

    Ray does so where distributions would be installed when a replica starts, another Python or image would be run, or
    code would come from a local folder. Variables (`env_vars`) are fine.
    """
    everything = _set_keys(environments, (*_INSTALLERS, _PROGRAM, *_IMAGES, *_CODE))
    found = [each for each in everything if each.key not in _CODE or not _is_remote(each)]
    if not found:
        return None
    found.sort(key=lambda each: (each.value.line, each.path))
    return Problem(
        f"A `runtime_env` in {file} would run other code than that of the image.",
        tuple(each.bullet(file) for each in found),
        tuple(_fixes(found)),
    )


def remote_code(file: str, environments: Iterable[RuntimeEnv]) -> Iterator[str]:
    """Yield a warning for code that comes from elsewhere: what it has in common with the image hides the image's."""
    found = [each for each in _set_keys(environments, _CODE) if _is_remote(each)]
    if found:
        evidence = "\n".join(f"  * {each.bullet(file)}" for each in found)
        yield (
            f"A `runtime_env` in {file} fetches code that hides that of the image:\n\n{evidence}\n\n"
            "To fix, remove it: the image holds the code that is imported."
        )
