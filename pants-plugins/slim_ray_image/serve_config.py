"""Stage 1 of 6: the file of `serve_config` -> its content and, for `slim_ray_images`, a target for each application."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Iterable, Optional

from pants.build_graph.address import BANNED_CHARS_IN_GENERATED_NAME
from pants.engine.fs import GlobMatchErrorBehavior, PathGlobs
from pants.engine.rules import collect_rules
from pants.engine.target import GeneratedTargets, GenerateTargetsRequest, InvalidTargetException
from pants.engine.unions import UnionMembership, UnionRule

from slim_ray_image.compat import get_digest_contents, implicitly, path_globs_to_digest, rule
from slim_ray_image.core.errors import Problem, SlimRayImageError
from slim_ray_image.core.serve.serve_config import ImageConfig, parse_image_config
from slim_ray_image.target_types import (
    ServeApplicationField,
    ServeConfigField,
    SlimRayImagesConfigField,
    SlimRayImagesTarget,
    SlimRayImageTarget,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageConfigRequest:
    """A request for the content of a Serve config or a KubeRay manifest."""

    path: str  # relative to the build root
    application: str = ""  # name of the only application to serve; "" for all


@dataclass(frozen=True)
class LoadedImageConfig:
    """The content of a Serve config or a KubeRay manifest, or the problems for which the file was rejected."""

    config: Optional[ImageConfig]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class ConfigWarningRequest:
    """A request to log a warning about the content of a Serve config or a KubeRay manifest."""

    text: str


@dataclass(frozen=True)
class ConfigWarning:
    """Marker: a warning about a Serve config or KubeRay manifest was logged. Cached, it makes each text appear once."""

    text: str


@rule(desc="Read the Serve config of a slim_ray_image")
async def load_image_config(request: ImageConfigRequest) -> LoadedImageConfig:
    """Return the parsed content of a Serve config or a KubeRay manifest; runs again when the file changes.

    A mistake in the file is returned as a problem. Only goals that need the image raise it.
    """
    globs = PathGlobs([request.path], GlobMatchErrorBehavior.ignore)
    contents = await get_digest_contents(await path_globs_to_digest(globs))
    try:
        if not contents:
            raise SlimRayImageError(
                f"There is no file {request.path}, which `serve_config` names.",
                fixes=["correct `serve_config`, a path from the folder of the BUILD file"],
            )
        text = contents[0].content.decode()
        return LoadedImageConfig(parse_image_config(text, request.path, request.application))
    except UnicodeDecodeError as error:
        problem = Problem(
            f"{request.path} is not valid UTF-8.",
            (f"byte {error.start}: {error.reason}",),
            ("save it as UTF-8",),
        )
        return LoadedImageConfig(None, (problem,))
    except SlimRayImageError as error:
        return LoadedImageConfig(None, error.problems)


def config_request(
    config: ServeConfigField, application: ServeApplicationField
) -> Optional[ImageConfigRequest]:
    """Return the request for the content of the file that a target's `serve_config` names; None if it is not set."""
    if config.file_path is None:
        return None
    return ImageConfigRequest(config.file_path, application.value or "")


@rule
async def warn_of_config(request: ConfigWarningRequest) -> ConfigWarning:
    """Log a warning about a Serve config or a KubeRay manifest, once for all images that use the file."""
    logger.warning(request.text)
    return ConfigWarning(request.text)


class GenerateSlimRayImagesRequest(GenerateTargetsRequest):
    generate_from = SlimRayImagesTarget


def _check_names(names: Iterable[str], path: str) -> None:
    wrong = sorted(name for name in names if set(name) & set(BANNED_CHARS_IN_GENERATED_NAME))
    if wrong:
        characters = " ".join(sorted(BANNED_CHARS_IN_GENERATED_NAME))
        raise SlimRayImageError(
            f"The applications of {path} become targets, so their names cannot contain any of {characters}",
            evidence=[repr(name) for name in wrong],
            fixes=["rename them", "write a `slim_ray_image` with `serve_application` for each"],
        )


def _check_overrides(overrides: Iterable[str], names: Iterable[str], path: str) -> None:
    unknown = sorted(set(overrides) - set(names))
    if unknown:
        raise SlimRayImageError(
            f"`overrides` names applications that {path} does not have: {', '.join(map(repr, unknown))}.",
            evidence=[f"it has {name!r}" for name in names],
            fixes=["correct the names"],
        )


async def _application_names(path: str) -> tuple[str, ...]:
    loaded = await load_image_config(ImageConfigRequest(path), **implicitly())
    if loaded.config is None:
        raise SlimRayImageError.of(loaded.problems)
    if loaded.config.serve is None:
        raise SlimRayImageError(
            f"{path} describes a job, which needs one image, and has no Serve applications.",
            fixes=["use `slim_ray_image` with the same `serve_config`"],
        )
    return tuple(application.name for application in loaded.config.serve.applications)


@rule(desc="Generate a slim_ray_image for each application")
async def generate_slim_ray_images(
    request: GenerateSlimRayImagesRequest, union_membership: UnionMembership
) -> GeneratedTargets:
    """Return one `slim_ray_image` for each application of a `serve_config` file; runs again when the file changes."""
    config = request.generator[SlimRayImagesConfigField]
    path = config.file_path or ""
    overrides = request.require_unparametrized_overrides()
    try:
        names = await _application_names(path)
        _check_names(names, path)
        _check_overrides(overrides, names, path)
    except SlimRayImageError as error:
        raise InvalidTargetException(
            f"The target {request.generator.address} cannot generate its images. {error}"
        ) from error
    return GeneratedTargets(
        request.generator,
        (
            SlimRayImageTarget(
                {
                    **request.template,
                    ServeConfigField.alias: config.value,
                    ServeApplicationField.alias: name,
                    **overrides.get(name, {}),
                },
                request.template_address.create_generated(name),
                union_membership,
            )
            for name in names
        ),
    )


def rules() -> Iterable[Any]:
    return [
        *collect_rules(),
        UnionRule(GenerateTargetsRequest, GenerateSlimRayImagesRequest),
    ]
