"""Stage 3 of 6: who requires a distribution, and with which extras.

In: the requirement strings of the closure and the METADATA of what was installed. Out: for each distribution, its
reasons. It does not resolve: uv did. Names are canonical (PEP 503), requirements PEP 508.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Mapping, Optional, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from slim_ray_image.core.layers import Distribution

# packaging before version 22, which Pants 2.17 has, parses markers by a grammar that its first use puts in order. Two
# threads that do so at once can spoil it for the rest of the process; while a module is imported there is one.
Requirement("a; (extra == 'b' or os_name not in 'c') and python_version in '3'")


@dataclass(frozen=True)
class RequiredDistribution:
    """Why a distribution is in the image."""

    name: str
    extras: tuple[str, ...]
    required_by: tuple[str, ...]  # reasons of the closure, else "distribution==version"; sorted


def _spellings(extras: set[str], distribution: Distribution) -> set[str]:
    """`extras`, also as the distribution's METADATA spells them: its markers need not be canonical."""
    return extras | {e for e in distribution.provides_extra if canonicalize_name(e) in extras}


# pantsd sees the same thousand lines in each build, and parsing them takes longer than the rest of an edit's build.
@lru_cache(maxsize=20_000)
def _parse(text: str) -> Optional[Requirement]:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _applies(requirement: Requirement, environment: Mapping[str, str], extras: set[str]) -> bool:
    if requirement.marker is None:
        return True
    return any(
        requirement.marker.evaluate({**environment, "extra": extra}) for extra in (extras or {""})
    )


def explain(
    requirements: Sequence[tuple[str, str]],
    distributions: Sequence[Distribution],
    environment: Mapping[str, str],
) -> tuple[RequiredDistribution, ...]:
    """Return, for each distribution, what requires it.

    Args:
        requirements: (requirement string, reason) of the closure.
        distributions: What was installed.
        environment: The image's marker variables (PEP 508), as `python_version`.

    Returns:
        In the order of `distributions`. A distribution that nothing reaches has no `required_by`.
    """
    installed = {distribution.name: distribution for distribution in distributions}
    wanted = [(_parse(text), reason) for text, reason in requirements]
    queue = [(r, reason) for r, reason in wanted if r and _applies(r, environment, set())]
    extras: dict[str, set[str]] = defaultdict(set)
    required_by: dict[str, set[str]] = defaultdict(set)
    followed: dict[str, set[str]] = (
        {}
    )  # name -> the extras that its requirements were followed with
    while queue:
        requirement, reason = queue.pop()
        name = canonicalize_name(requirement.name)
        if name not in installed:
            continue
        distribution = installed[name]
        own_reason = f"{distribution.name}=={distribution.version}"
        # A distribution may name its own extras, as "all" of "ray[default,serve]".
        if reason != own_reason:
            required_by[name].add(reason)
        extras[name] |= {canonicalize_name(extra) for extra in requirement.extras}
        if followed.get(name) == extras[name]:
            continue
        followed[name] = set(extras[name])
        active = _spellings(extras[name], distribution)
        needs = (_parse(line) for line in distribution.requires_dist)
        queue += [
            (need, own_reason) for need in needs if need and _applies(need, environment, active)
        ]
    return tuple(
        RequiredDistribution(
            distribution.name,
            tuple(sorted(extras[distribution.name])),
            tuple(sorted(required_by[distribution.name])),
        )
        for distribution in distributions
    )
