"""Stage 3 of 6: decide by a wheel's tags whether the wheel runs on the image's platform.

In: the tags of a wheel, such as `cp310-cp310-manylinux_2_17_x86_64`. Out: whether the wheel runs on the base's Python
and glibc, and how well it fits.
Tags: https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/.
"""

from __future__ import annotations

import functools
from typing import Iterable, Iterator, Mapping, Optional

from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from slim_ray_image.core.platforms import Platform

# The oldest minor version of glibc that a tag can name, and the older names of tags, which do not name glibc (PEP 600).
_OLDEST_GLIBC_MINOR = 5
_LEGACY_NAMES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


def _platform_tags(platform: Platform, glibc: str) -> Iterator[str]:
    major, minor = (int(part) for part in glibc.split(".")[:2])
    for older in range(minor, _OLDEST_GLIBC_MINOR - 1, -1):
        yield f"manylinux_{major}_{older}_{platform.machine}"
        if older in _LEGACY_NAMES:
            yield f"{_LEGACY_NAMES[older]}_{platform.machine}"


@functools.cache
def _supported(python_minor: str, platforms: tuple[str, ...]) -> Mapping[Tag, int]:
    """Map each wheel tag that a Python on some platforms supports to its rank; 0 is the best."""
    version = tuple(int(part) for part in python_minor.split("."))
    interpreter = f"cp{version[0]}{version[1]}"
    tags = (
        *cpython_tags(version, abis=[interpreter], platforms=platforms),
        *compatible_tags(version, interpreter, platforms),
    )
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


def _any_of(tags: Iterable[str], supported: Mapping[Tag, int]) -> bool:
    return any(not supported.keys().isdisjoint(parse_tag(tag)) for tag in tags)


def rank_of(
    file: str, python_minor: str, platform: Platform, glibc: str
) -> Optional[tuple[int, tuple[int, str]]]:
    """Return a wheel's rank, by tags, among wheels of a distribution (lowest is best); None if the base cannot run it.

    Args:
        file: File name of the wheel.
        python_minor: Minor version of the base's Python, such as "3.10".
        glibc: Version of the base's glibc, such as "2.36".
    """
    try:
        _, _, build, tags = parse_wheel_filename(file)
    except InvalidWheelFilename:
        return None
    supported = _supported(python_minor, tuple(_platform_tags(platform, glibc)))
    ranks = [supported[tag] for tag in tags if tag in supported]
    # Between wheels whose tags have the same rank, the highest build number wins.
    return (min(ranks), (-build[0], build[1]) if build else (0, "")) if ranks else None


def fits(tags: Iterable[str], python_minor: str, platform: Platform, glibc: str) -> bool:
    """Return whether a wheel with these tags, such as manylinux or `any`, runs on the base image's Python and glibc.

    Args:
        python_minor: Minor version of the base's Python, such as "3.10".
        glibc: Version of the base's glibc, such as "2.36".
    """
    return _any_of(tags, _supported(python_minor, tuple(_platform_tags(platform, glibc))))


def is_built_on_host(tags: Iterable[str], python_minor: str, platform: Platform) -> bool:
    """Return whether tags such as `linux_x86_64` mark a wheel as built against the libraries of only one machine."""
    return _any_of(tags, _supported(python_minor, (f"linux_{platform.machine}",)))
