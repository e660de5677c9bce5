"""Stage 3 of 6: find the distributions that a distribution requires on the image's platform.

In: Requires-Dist and Provides-Extra of METADATA, and the image's marker variables. Out: a `Need` for each line whose
marker holds, with some extra or without any. Markers are evaluated once, when a wheel is described, since the
distributions of a service have a thousand of them.
Formats: https://packaging.python.org/en/latest/specifications/core-metadata/ and PEP 508.
"""

from __future__ import annotations

import re
from typing import Collection, Iterable, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from slim_ray_image.core.wheels.wheels import Need

# packaging before version 22, which Pants 2.17 has, parses markers by a grammar that it simplifies when it is first
# used. If two threads do that at once, the grammar can be broken for the rest of the process. While this module is
# imported, only one thread uses the grammar.
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

    # A marker may spell an extra as METADATA declares it, which need not be canonical, or use one that is not declared.
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
    """Return a distribution's requirements that can apply in the image, in the order of the valid Requires-Dist lines.

    Args:
        requires_dist: Values of Requires-Dist.
        provides_extra: Values of Provides-Extra.
        environment: Marker variables of the image.
    """
    # Other distributions ask for extras by their canonical spelling as well.
    provided = {spelled for e in provides_extra for spelled in (e, str(canonicalize_name(e)))}
    return tuple(need for line in requires_dist for need in _need_of(line, provided, environment))
