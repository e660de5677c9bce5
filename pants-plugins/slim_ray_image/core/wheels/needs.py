"""Stage 3 of 6: what a distribution requires of others on the image's platform.

In: METADATA's Requires-Dist and Provides-Extra, the image's marker variables. Out: a `Need` for each line that can
hold. Markers are evaluated once, when a wheel is described: there are a thousand of them in a service.
Formats: https://packaging.python.org/en/latest/specifications/core-metadata/ and PEP 508.
"""

from __future__ import annotations

import re
from typing import Collection, Iterable, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from slim_ray_image.core.wheels.wheels import Need

# packaging before version 22, which Pants 2.17 has, parses markers by a grammar that its first use puts in order. Two
# threads that do so at once can spoil it for the rest of the process; while a module is imported there is one.
Requirement("a; (extra == 'b' or os_name not in 'c') and python_version in '3'")


_EXTRA = re.compile(r"\bextra\b")
_SPELLED_EXTRA = re.compile(r"extra\s*==\s*[\"']([^\"']*)[\"']")


def _need_of(
    line: str, provided: Collection[str], environment: Mapping[str, str]
) -> Iterator[Need]:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return
    marker = requirement.marker

    def holds(extra: str) -> bool:
        return marker is None or marker.evaluate({**environment, "extra": extra})

    # A marker spells an extra as METADATA does, which need not be canonical, or does not say it at all.
    spelled = {*provided, *_SPELLED_EXTRA.findall(str(marker or ""))}
    need = Need(
        str(canonicalize_name(requirement.name)),
        tuple(sorted(str(canonicalize_name(extra)) for extra in requirement.extras)),
        holds(""),
        bool(_EXTRA.search(str(marker or ""))),
        tuple(sorted({str(canonicalize_name(extra)) for extra in spelled if holds(extra)})),
    )
    if need.without_extras or need.with_extras:
        yield need


def needs_of(
    requires_dist: Iterable[str], provides_extra: Collection[str], environment: Mapping[str, str]
) -> tuple[Need, ...]:
    """Return what a distribution requires, in the order of its lines; those that are not valid are passed over.

    Args:
        environment: The image's marker variables.
    """
    # Also in their canonical spelling, by which others want them.
    provided = {spelled for e in provides_extra for spelled in (e, str(canonicalize_name(e)))}
    return tuple(need for line in requires_dist for need in _need_of(line, provided, environment))
