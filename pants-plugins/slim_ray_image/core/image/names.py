"""Stage 6 of 6: names of an image, made like the names of a `docker_image` in Pants' docker backend.

In: the fields `repository`, `registries` and `image_tags`, and the options `[docker].registries` and
`[docker].default_repository`. Out: references, `[registry/]repository:tag`, for people, registries and Docker. Names
are no part of the image, and do not change its digest. Fields, options and placeholders mean the same as in
https://www.pantsbuild.org/stable/docs/docker/tagging-docker-images, with one difference: the docker backend lowers
capitals in a repository, but here capitals that a user wrote are an error, since no registry would show them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, Mapping, NoReturn, Optional, Sequence

from slim_ray_image.core.errors import InvalidValueError, SlimRayImageError
from slim_ray_image.core.image.references import (
    RegistryReference,
    is_repository,
    is_tag,
    parse_image_reference,
)

# Item of `registries` that stands for all registries whose `default` is true.
ALL_DEFAULT_REGISTRIES = "<all default registries>"
# Placeholder that stays in a name until the image is built: the hex digits of its manifest's SHA-256.
HASH = "pants.hash"
_HASH_PLACEHOLDER = f"{{{HASH}}}"
_ANY_HASH = "0" * 64
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# Depth of placeholders in the values of placeholders, the same as in the docker backend.
_MOST_ROUNDS = 4


@dataclass(frozen=True)
class Registry:
    """An image registry: one of `[docker].registries`, or, with an empty alias, any other address."""

    address: str
    alias: str = ""
    is_default: bool = False
    repository: Optional[str] = None
    extra_image_tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class NameSettings:
    """Values of the fields and options that decide the names of an image."""

    address: str  # address of the target
    target_name: str
    directory: str  # directory of the BUILD file, relative to the build root
    repository: Optional[str]
    registries: tuple[str, ...]
    image_tags: tuple[str, ...]
    default_repository: str
    configured_registries: tuple[Registry, ...]


@dataclass(frozen=True)
class ImageNames:
    """References of an image that may contain the placeholder `{pants.hash}`, and are valid for any hash."""

    templates: tuple[str, ...]

    def references(self, manifest_hex: str) -> tuple[str, ...]:
        """Return the references of the image whose manifest has the SHA-256 `manifest_hex`."""
        return tuple(text.replace(_HASH_PLACEHOLDER, manifest_hex) for text in self.templates)


@dataclass(frozen=True)
class _Written:
    """The text of a field or an option, and the words that name the field or the option in an error message."""

    text: str
    where: str


def tags_of(references: Sequence[str]) -> tuple[str, ...]:
    """Return the tags of an image's references, such as "latest" of "team/ranker:latest", each tag once."""
    return tuple(dict.fromkeys(reference.rpartition(":")[2] for reference in references))


def _describe_registries(registries: Sequence[Registry]) -> list[str]:
    found = [f"`[docker].registries` has @{registry.alias}" for registry in registries]
    return sorted(found) or ["`[docker].registries` is empty"]


def _chosen_registries(settings: NameSettings) -> tuple[Registry, ...]:
    """Return the image registries that the field `registries` of a target names, each once."""
    by_name = {registry.address: registry for registry in settings.configured_registries}
    by_name.update({f"@{registry.alias}": registry for registry in settings.configured_registries})
    chosen, unknown = [], []
    for name in settings.registries:
        if name == ALL_DEFAULT_REGISTRIES:
            defaults = (r for r in settings.configured_registries if r.is_default)
            chosen += sorted(defaults, key=lambda registry: registry.address)
        elif name in by_name or not name.startswith("@"):
            chosen.append(by_name.get(name, Registry(name)))
        else:
            unknown.append(name)
    if unknown:
        unknown.sort()
        raise SlimRayImageError(
            f"The `registries` field in target {settings.address} names registries that are not configured: "
            f"{', '.join(unknown)}.",
            evidence=_describe_registries(settings.configured_registries),
            fixes=[
                "name a configured registry, or any registry by its address",
                f'configure it in `[docker.registries.{unknown[0][1:]}]` with `address = "registry.example.com"`',
            ],
        )
    return tuple(dict.fromkeys(chosen))


def _refuse_placeholders(
    written: _Written, unknown: Sequence[str], known: Sequence[str]
) -> NoReturn:
    raise SlimRayImageError(
        f"{written.where} has unknown placeholders: {', '.join(unknown)}.",
        evidence=[f"{{{name}}} is known" for name in known],
        fixes=[
            "use a known placeholder",
            "write the value out; without a Dockerfile there are no build arguments, stages or variables of a build",
        ],
    )


def _filled_in(written: _Written, values: Mapping[str, str]) -> str:
    """Return the text of a field or an option with all placeholders replaced, except `{pants.hash}`."""
    known = sorted({HASH, *values})
    text = written.text
    for _ in range(_MOST_ROUNDS):
        names = dict.fromkeys(name for name in _PLACEHOLDER.findall(text) if name != HASH)
        if not names:
            return text
        unknown = [f"{{{name}}}" for name in names if name not in values]
        if unknown:
            _refuse_placeholders(written, unknown, known)
        text = _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)
    raise SlimRayImageError(
        f"{written.where} has placeholders that lead back to it: {written.text!r}.",
        fixes=["write the repository out in one of the values that name each other"],
    )


def _with_any_hash(text: str) -> str:
    return text.replace(_HASH_PLACEHOLDER, _ANY_HASH)


def _written_repository(settings: NameSettings, registry: Optional[Registry]) -> _Written:
    if registry and registry.repository:
        option = f"[docker.registries.{registry.alias}].repository"
        return _Written(
            registry.repository, f"The option `{option}`, which names {settings.address},"
        )
    if settings.repository is not None:
        return _Written(settings.repository, f"The `repository` field in target {settings.address}")
    return _Written(
        settings.default_repository,
        f"The option `[docker].default_repository`, which names {settings.address},",
    )


def _repository(settings: NameSettings, registry: Optional[Registry]) -> str:
    """Return the image's repository in a registry: the text of a field or an option, with placeholders replaced.

    Folders and target names are inserted in lower case; capitals in the text itself are an error.
    """
    written = _written_repository(settings, registry)
    parent, _, directory = settings.directory.lower().rpartition("/")
    repository = _filled_in(
        written,
        {
            "name": settings.target_name.lower(),
            "directory": directory,
            "parent_directory": parent.rpartition("/")[2],
            "full_directory": settings.directory.lower(),
            "default_repository": settings.default_repository,
            "target_repository": settings.repository or settings.default_repository,
        },
    )
    if is_repository(_with_any_hash(repository)):
        return repository
    lower = written.text.lower()
    fixes = ["correct it, for example to 'team/ranker'"]
    if is_repository(_with_any_hash(repository.lower())) and lower != written.text:
        fixes = [f"use {lower!r}"]
    elif settings.repository is None and not (registry and registry.repository):
        fixes.append(f"set `repository` on {settings.address}")
    raise SlimRayImageError(
        f"{written.where} must result in lower-case letters and digits, with single separators between, but results in "
        f"{repository!r}.",
        evidence=[] if written.text == repository else [f"the value is {written.text!r}"],
        fixes=fixes,
    )


def _tags(written: Sequence[str], where: str) -> list[str]:
    tags = [_filled_in(_Written(text, where), {}) for text in written]
    wrong = sorted({tag for tag in tags if not is_tag(_with_any_hash(tag))})
    if wrong:
        raise SlimRayImageError(
            f"{where} must contain tags of at most 128 letters, digits, '.', '_' and '-', with neither '.' nor '-' "
            f"first, but has {', '.join(map(repr, wrong))}.",
            fixes=["correct the tags, for example to '1.2.3' or 'main-{pants.hash}'"],
        )
    return tags


def _check_address(settings: NameSettings, registry: Registry) -> None:
    try:
        parsed = parse_image_reference(f"{registry.address}/repository:tag")
    except InvalidValueError:
        parsed = None
    if not isinstance(parsed, RegistryReference):
        where = (
            f"`[docker.registries.{registry.alias}].address`"
            if registry.alias
            else f"the `registries` field in target {settings.address}"
        )
        raise SlimRayImageError(
            f"The address {registry.address!r} of a registry of the image {settings.address} is not valid.",
            evidence=[f"it is in {where}"],
            fixes=["use only host, port and path, such as 'registry.example.com:5000/team'"],
        )


def _templates(settings: NameSettings) -> Iterator[str]:
    tags = _tags(settings.image_tags, f"The `image_tags` field in target {settings.address}")
    registries = _chosen_registries(settings)
    if not registries:
        repository = _repository(settings, None)
        yield from (f"{repository}:{tag}" for tag in tags)
    for registry in registries:
        _check_address(settings, registry)
        repository = _repository(settings, registry)
        option = f"[docker.registries.{registry.alias}].extra_image_tags"
        more = _tags(
            registry.extra_image_tags, f"The option `{option}`, which names {settings.address},"
        )
        yield from (f"{registry.address}/{repository}:{tag}" for tag in (*tags, *more))


def name_image(settings: NameSettings) -> ImageNames:
    """Return the references of an image: each tag in each registry, or each tag alone if no registry is chosen.

    Raises:
        SlimRayImageError: If there is no reference, or one is not valid. The error names the field or the option.
    """
    templates = tuple(dict.fromkeys(_templates(settings)))
    if not templates:
        raise SlimRayImageError(
            f"The `image_tags` field in target {settings.address} must not be empty.",
            fixes=["leave it out, or name a tag, such as image_tags=['latest']"],
        )
    return ImageNames(templates)
