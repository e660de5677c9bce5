"""Stage 4 of 6, what of a target's closure and distributions does not go into its image: fields -> `Pruning`.

The rules themselves are in `core/pruning.py`; the layers' processes apply them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Optional, Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slim_ray_image.closure import ImageClosure
from slim_ray_image.core.distributions_layer import Saved
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.exclude_files import absolute_pattern, check_excluded, matching_pattern
from slim_ray_image.core.image_paths import site_packages_of
from slim_ray_image.core.prune_rules import Part
from slim_ray_image.core.pruning import (
    Pruned,
    Pruning,
    check_left_out,
    left_out_with,
    needed_parts,
    parse_pruning,
    rule_of_distribution,
    unite_pruned,
)
from slim_ray_image.core.requirements import RequiredDistribution, explain
from slim_ray_image.layers import DistributionsLayer
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.tools import BaseInterpreter
from slim_ray_image.wheels import ImageWheels


def chosen_pruning(value: Optional[Sequence[str]], subsystem: SlimRayImageSubsystem) -> Pruning:
    """Return what the field `prune` says, or the option where it is not set."""
    if value is not None:
        return parse_pruning(value)
    try:
        return parse_pruning(subsystem.prune)
    except SlimRayImageError as error:
        raise SlimRayImageError(f"The option `[slim-ray].prune` {error}") from error


@dataclass(frozen=True)
class ExcludedFiles:
    """The field `exclude_files` of a target.

    Attributes:
        patterns: As the target has them.
        absolute: The same as paths of the image.
    """

    patterns: tuple[str, ...]
    absolute: tuple[str, ...]

    def remove_from(
        self, closure: ImageClosure, workdir: str
    ) -> tuple[ImageClosure, frozenset[str]]:
        """Return the closure without the first-party files that are excluded, and the patterns that exclude some."""
        found = {
            file.path: matching_pattern(f"{workdir}/{file.path}", self.absolute)
            for file in closure.files
        }
        files = tuple(file for file in closure.files if not found[file.path])
        return replace(closure, files=files), frozenset(p for p in found.values() if p)

    def check(self, image: str, matched: Iterable[str]) -> None:
        """Raise if a pattern matches nothing of the image's own layers."""
        there = set(matched)
        check_excluded(
            image,
            self.patterns,
            [p for p, absolute in zip(self.patterns, self.absolute) if absolute in there],
        )


def excluded_files(patterns: Sequence[str], interpreter: BaseInterpreter) -> ExcludedFiles:
    """Return the field `exclude_files` for an image on a base."""
    site_packages = site_packages_of(interpreter.facts.python)
    return ExcludedFiles(
        tuple(patterns), tuple(absolute_pattern(pattern, site_packages) for pattern in patterns)
    )


@dataclass(frozen=True)
class RemainingDistributions:
    """The distributions that go into an image, and those that are left out as a whole."""

    wheels: ImageWheels
    required: tuple[RequiredDistribution, ...]  # why, in the order of the distributions
    left_out: tuple[Pruned, ...]


def _requirers(required: Iterable[RequiredDistribution]) -> dict[str, tuple[str, ...]]:
    """Return distribution -> what requires it, distributions by name alone."""
    return {r.name: tuple(by.split("==")[0] for by in r.required_by) for r in required}


def leave_out(
    image: str,
    pruning: Pruning,
    closure: ImageClosure,
    wheels: ImageWheels,
    interpreter: BaseInterpreter,
) -> RemainingDistributions:
    """Return the distributions without those that are left out as a whole, and without what only they require.

    Raises:
        SlimRayImageError: If one is not there, or first-party code requires it.
    """
    requirements = [
        *((requirement.text, requirement.reason) for requirement in closure.requirements),
        *((f"{wheel.name}=={wheel.version}", wheel.reason) for wheel in closure.wheels),
    ]
    environment = interpreter.facts.marker_environment.to_mapping()
    required = explain(requirements, wheels.distributions, environment)
    if not pruning.distributions:
        return RemainingDistributions(wheels, required, ())
    reasons = {
        str(canonicalize_name(Requirement(text).name)): reason for text, reason in requirements
    }
    check_left_out(image, pruning.distributions, [d.name for d in wheels.distributions], reasons)
    after = explain(
        requirements,
        [d for d in wheels.distributions if d.name not in pruning.distributions],
        environment,
    )
    gone = left_out_with(pruning.distributions, _requirers(required), _requirers(after))
    return RemainingDistributions(
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


def parts_for(pruning: Pruning, uses: Iterable[str], wheels: ImageWheels) -> tuple[Part, ...]:
    """Return the parts that an image needs.

    Args:
        uses: Of first-party code.
        wheels: What goes into it.
    """
    all_uses = {*uses, *(use for d in wheels.distributions for use in d.uses)}
    return needed_parts(pruning.rules, all_uses, {d.name for d in wheels.distributions})


def pruned_rows(
    layers: Sequence[DistributionsLayer], parts: Sequence[Part], left_out: Iterable[Pruned]
) -> tuple[Pruned, ...]:
    """Return what is not in the image."""
    return unite_pruned(
        [row for layer in layers for row in layer.pruned],
        parts={name: saved for layer in layers for name, saved in layer.parts},
        needed=parts,
        left_out=left_out,
    )
