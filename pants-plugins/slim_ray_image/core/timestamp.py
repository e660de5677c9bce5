"""Stages 4 and 5 of 6: the timestamp that an image has for all its files and for its creation."""

from __future__ import annotations

import datetime
import re
from typing import Mapping

from slim_ray_image.core.errors import SlimRayImageError

VARIABLE = "SOURCE_DATE_EPOCH"
# The last second that RFC 3339 can express: its years have four digits.
_LAST = 253402300799


def timestamp_of(variables: Mapping[str, str]) -> int:
    """Return SOURCE_DATE_EPOCH, seconds since 1970, from `[subprocess-environment].env_vars`; 0 if it is unset.

    Source: https://reproducible-builds.org/specs/source-date-epoch/.
    """
    value = variables.get(VARIABLE, "0")
    if not re.fullmatch("[0-9]{1,12}", value) or int(value) > _LAST:
        raise SlimRayImageError(
            f"{VARIABLE} is not a valid timestamp.",
            evidence=[f"`[subprocess-environment].env_vars` has {VARIABLE}={value}"],
            fixes=["set it to seconds since 1970, such as the output of `git log -1 --format=%ct`"],
        )
    return int(value)


def spelled(timestamp: int) -> str:
    """Return a timestamp in the format of RFC 3339, such as `1970-01-01T00:00:00Z`."""
    return f"{datetime.datetime.utcfromtimestamp(timestamp).isoformat()}Z"
