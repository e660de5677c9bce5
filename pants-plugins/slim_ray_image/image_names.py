"""Stage 6 of 6: a target and the options of Pants' docker backend -> the names of the image.

The options are read from `[docker]` by Pants' own subsystem, whether or not the docker backend is enabled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable

from pants.backend.docker.registries import DockerRegistryOptions
from pants.backend.docker.subsystems.docker_options import DockerOptions
from pants.engine.addresses import Address
from pants.engine.rules import collect_rules

from slim_ray_image.compat import rule
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image.names import ImageNames, NameSettings, Registry, name_image
from slim_ray_image.target_types import ImageTagsField, RegistriesField, RepositoryField


@dataclass(frozen=True)
class ImageNamesRequest:
    """A request for the names of a target's image."""

    address: Address
    repository: RepositoryField
    registries: RegistriesField
    image_tags: ImageTagsField


def _registry(options: DockerRegistryOptions) -> Registry:
    return Registry(
        address=options.address,
        alias=options.alias,
        is_default=options.default,
        repository=options.repository,
        extra_image_tags=options.extra_image_tags,
    )


def _configured_registries(docker: DockerOptions) -> tuple[Registry, ...]:
    try:
        options = set(docker.registries().registries.values())
        return tuple(sorted(map(_registry, options), key=lambda registry: registry.alias))
    except (KeyError, TypeError, ValueError) as error:
        problems = {KeyError: f"a registry has no {error}", TypeError: "a registry is not a table"}
        raise SlimRayImageError(
            "The option `[docker].registries` cannot be read.",
            evidence=[problems.get(type(error), str(error))],
            fixes=[
                'give each registry an address, such as {"prod": {"address": "registry.example.com"}}'
            ],
        ) from error


@rule(desc="Name a slim_ray_image")
async def find_image_names(request: ImageNamesRequest, docker: DockerOptions) -> ImageNames:
    """Return the names of a target's image in its registries; a wrong name is an error before anything is built."""
    return name_image(
        NameSettings(
            address=str(request.address),
            target_name=request.address.generated_name or request.address.target_name,
            directory=request.address.spec_path,
            repository=request.repository.value,
            registries=request.registries.value or (),
            image_tags=request.image_tags.value or (),
            default_repository=docker.default_repository,
            configured_registries=_configured_registries(docker),
        )
    )


def rules() -> Iterable[Any]:
    return collect_rules()
