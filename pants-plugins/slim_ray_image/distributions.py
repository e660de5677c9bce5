"""Stage 3 of 6, second half: the wheels that the code needs -> the distributions that go into the image, checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slim_ray_image.base_image import PreparedBase
from slim_ray_image.closure import ImageClosure
from slim_ray_image.core.closure.ray_extras import check_uncovered
from slim_ray_image.core.layers.conflicts import check_contents, check_scripts
from slim_ray_image.core.layers.distributions_layer import Saved
from slim_ray_image.core.layers.pruning import (
    Pruned,
    Pruning,
    check_left_out,
    left_out_with,
    rule_of_distribution,
)
from slim_ray_image.core.wheels.consistency import check_ray_versions
from slim_ray_image.core.wheels.requirements import RequiredDistribution, explain
from slim_ray_image.wheels import ImageWheels


@dataclass(frozen=True)
class IncludedDistributions:
    """The distributions that go into an image, each with its reason, and the ones that the field `prune` removes.

    Attributes:
        required: Reason for each distribution, in the order of `wheels.distributions`.
        left_out: Whole distributions that the field `prune` removes.
    """

    wheels: ImageWheels
    required: tuple[RequiredDistribution, ...]
    left_out: tuple[Pruned, ...]


def _requirers(required: Iterable[RequiredDistribution]) -> dict[str, tuple[str, ...]]:
    """Map each distribution to all that requires it: first-party code, and distributions, named without version."""
    return {r.name: tuple(by.split("==")[0] for by in r.required_by) for r in required}


def leave_out(
    image: str, pruning: Pruning, closure: ImageClosure, wheels: ImageWheels, base: PreparedBase
) -> IncludedDistributions:
    """Return the distributions without the ones that `prune` removes as a whole and the ones that only these require.

    Raises:
        SlimRayImageError: If a distribution to remove is not there, or first-party code requires the distribution.
    """
    marker_environment = base.interpreter.facts.marker_environment.to_mapping()
    requirements = [
        *((requirement.text, requirement.reason) for requirement in closure.requirements),
        *((f"{wheel.name}=={wheel.version}", wheel.reason) for wheel in closure.wheels),
    ]
    required = explain(requirements, wheels.distributions, marker_environment)
    if not pruning.distributions:
        return IncludedDistributions(wheels, required, ())
    reasons = {
        str(canonicalize_name(Requirement(text).name)): reason for text, reason in requirements
    }
    check_left_out(image, pruning.distributions, [d.name for d in wheels.distributions], reasons)
    after = explain(
        requirements,
        [d for d in wheels.distributions if d.name not in pruning.distributions],
        marker_environment,
    )
    gone = left_out_with(pruning.distributions, _requirers(required), _requirers(after))
    return IncludedDistributions(
        replace(wheels, distributions=tuple(d for d in wheels.distributions if d.name not in gone)),
        tuple(reason for reason in after if reason.name not in gone),
        tuple(
            Pruned(
                rule_of_distribution(gone[d.name]), d.name, Saved(d.unpacked_bytes, d.file_count)
            )
            for d in wheels.distributions
            if d.name in gone
        ),
    )


def check_distributions(
    image: str,
    included: IncludedDistributions,
    closure: ImageClosure,
    base: PreparedBase,
    exclude_files: tuple[str, ...],
) -> None:
    """Check that an image's distributions fit its uses of Ray, its manifest's Ray version, each other and the base.

    Args:
        exclude_files: Absolute patterns.

    Raises:
        SlimRayImageError: If a module of Ray needs a distribution that is missing, a manifest names another version of
            Ray, two distributions have one path with different content, or a command hides a command of the base.
    """
    distributions = included.wheels.distributions
    check_uncovered(image, closure.ray_uses, {d.name for d in distributions})
    if closure.config:
        ray = next((d.version for d in distributions if d.name == "ray"), None)
        check_ray_versions(image, closure.config.ray_versions, ray)
    check_contents(image, distributions, exclude_files)
    check_scripts(image, base.image.reference, distributions, dict(base.interpreter.facts.programs))
