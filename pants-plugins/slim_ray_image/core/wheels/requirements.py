"""Stage 3 of 6: who requires a distribution, and with which extras.

In: the requirement strings of the closure and what the wheels require. Out: for each distribution, its
reasons. It does not resolve: uv did. Names are canonical (PEP 503), requirements PEP 508.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

from slim_ray_image.core.wheels.distributions import Distribution
from slim_ray_image.core.wheels.needs import needs_of
from slim_ray_image.core.wheels.wheels import Need


@dataclass(frozen=True)
class RequiredDistribution:
    """Why a distribution is in the image."""

    name: str
    extras: tuple[str, ...]
    required_by: tuple[str, ...]  # reasons of the closure, else "distribution==version"; sorted


def _wanted(text: str, environment: Mapping[str, str]) -> Optional[Need]:
    """Return what a requirement of the repository wants; None where it is for other platforms, or not valid."""
    found = needs_of([text], (), environment)
    return found[0] if found and found[0].without_extras else None


def explain(
    requirements: Sequence[tuple[str, str]],
    distributions: Sequence[Distribution],
    environment: Mapping[str, str],
) -> tuple[RequiredDistribution, ...]:
    """Return, for each distribution, what requires it.

    Args:
        requirements: (requirement string, reason) of the closure.
        distributions: Those of the image.
        environment: The image's marker variables (PEP 508), as `python_version`.

    Returns:
        In the order of `distributions`. A distribution that nothing reaches has no `required_by`.
    """
    installed = {distribution.name: distribution for distribution in distributions}
    wanted = ((_wanted(text, environment), reason) for text, reason in requirements)
    queue = [(need, reason) for need, reason in wanted if need]
    extras: dict[str, set[str]] = defaultdict(set)
    required_by: dict[str, set[str]] = defaultdict(set)
    followed: dict[str, set[str]] = (
        {}
    )  # name -> the extras that its requirements were followed with
    while queue:
        wanted_need, reason = queue.pop()
        name = wanted_need.name
        if name not in installed:
            continue
        distribution = installed[name]
        own_reason = f"{distribution.name}=={distribution.version}"
        # A distribution may name its own extras, as "all" of "ray[default,serve]".
        if reason != own_reason:
            required_by[name].add(reason)
        extras[name].update(wanted_need.extras)
        if followed.get(name) == extras[name]:
            continue
        followed[name] = set(extras[name])
        queue += [(need, own_reason) for need in distribution.needs if need.applies(extras[name])]
    return tuple(
        RequiredDistribution(
            distribution.name,
            tuple(sorted(extras[distribution.name])),
            tuple(sorted(required_by[distribution.name])),
        )
        for distribution in distributions
    )
