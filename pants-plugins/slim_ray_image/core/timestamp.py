"""Stages 4 and 5 of 6: the one time in an image, of its files and of when it was created."""

from __future__ import annotations

import datetime
import re
from typing import Mapping

from slim_ray_image.core.errors import SlimRayImageError

VARIABLE = "SOURCE_DATE_EPOCH"
# The last second that RFC 3339, which has years of four digits, can name.
_LAST = 253402300799


def timestamp_of(variables: Mapping[str, str]) -> int:
    """Return seconds since 1970, of `[subprocess-environment].env_vars`; 0 where those lack the variable.

    Source: https://reproducible-builds.org/specs/source-date-epoch/.
    """
    value = variables.get(VARIABLE, "0")
    if not re.fullmatch("[0-9]{1,12}", value) or int(value) > _LAST:
        raise SlimRayImageError(
            f"{VARIABLE} is no time.",
            evidence=[f"`[subprocess-environment].env_vars` has {VARIABLE}={value}"],
            fixes=["set it to seconds since 1970, as `git log -1 --format=%ct` prints"],
        )
    return int(value)


def spelled(timestamp: int) -> str:
    """Return the time as RFC 3339 spells it, as `1970-01-01T00:00:00Z`."""
    return f"{datetime.datetime.utcfromtimestamp(timestamp).isoformat()}Z"
