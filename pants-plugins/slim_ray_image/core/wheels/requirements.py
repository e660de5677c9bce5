"""Stage 3 of 6: the reasons that a distribution is in the image, and the extras that are required of it.

In: the requirement strings of the closure and the needs of the wheels. Out: the reasons and extras of each
distribution. Nothing is resolved here: uv has done that. Names are canonical (PEP 503), requirements are in the syntax
of PEP 508.
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
    """A distribution of the image, with the reasons that it is there and the extras that are required of it.

    Attributes:
        extras: Extras that are required of the distribution, sorted.
        required_by: Reasons in first-party code, and "distribution==version" of distributions, sorted.
    """

    name: str
    extras: tuple[str, ...]
    required_by: tuple[str, ...]


def _wanted(text: str, environment: Mapping[str, str]) -> Optional[Need]:
    """Parse a requirement of the monorepo's code; return None if it is invalid or for other platforms."""
    found = needs_of([text], (), environment)
    return found[0] if found and found[0].without_extras else None


def explain(
    requirements: Sequence[tuple[str, str]],
    distributions: Sequence[Distribution],
    environment: Mapping[str, str],
) -> tuple[RequiredDistribution, ...]:
    """Return, for each distribution, the reasons that it is in the image and the extras that are required of it.

    Args:
        requirements: (requirement string, reason), for each requirement of the closure.
        distributions: All distributions of the image.
        environment: Marker variables of the image (PEP 508), such as `python_version`.

    Returns:
        One entry for each distribution, in the order of `distributions`. If nothing requires a distribution, its
        `required_by` is empty.
    """
    installed = {distribution.name: distribution for distribution in distributions}
    wanted = ((_wanted(text, environment), reason) for text, reason in requirements)
    queue = [(need, reason) for need, reason in wanted if need]
    extras: dict[str, set[str]] = defaultdict(set)
    required_by: dict[str, set[str]] = defaultdict(set)
    followed: dict[str, set[str]] = {}  # name -> extras with which its needs were followed
    while queue:
        wanted_need, reason = queue.pop()
        name = wanted_need.name
        if name not in installed:
            continue
        distribution = installed[name]
        own_reason = f"{distribution.name}=={distribution.version}"
        # A distribution may require its own extras: for example, ray's extra "all" can require "ray[default,serve]".
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
