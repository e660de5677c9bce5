"""Stage 4 of 6: the field `exclude_files`, patterns of paths that are left out of the image.

In: the patterns. Out: the patterns that match a path of a layer, and, while layers are planned and only the outermost
paths of each distribution are known, the patterns that may match.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import Collection, Iterable, Optional

from slim_ray_image.core.errors import InvalidValueError, SlimRayImageError

EXCLUDE_FILES = "exclude_files"


def parse_exclude_files(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the path patterns of a field `exclude_files`, sorted; raise an error if one cannot be a path of the image.

    Raises:
        InvalidValueError: If a pattern is not a path of the image.
    """
    patterns = tuple(sorted(patterns))
    wrong = [p for p in patterns if not p.strip("/*") or ".." in p.split("/") or "//" in p]
    if wrong:
        raise InvalidValueError(
            "must hold paths, absolute or relative to site-packages, without '..' or '//' and not only wildcards, "
            f"but has {', '.join(map(repr, wrong))}.",
            fixes=["use paths like 'numpy/_core/tests/*' or '/usr/local/bin/wget'"],
        )
    return patterns


def _part_expression(part: str) -> str:
    """Return a regular expression for one part of a path pattern, between slashes; `*` and `?` are wildcards."""
    wildcards = {"*": "[^/]*", "?": "[^/]"}
    return "".join(wildcards.get(character) or re.escape(character) for character in part)


@lru_cache(maxsize=1000)
def _expression(pattern: str) -> re.Pattern[str]:
    """Return a regular expression for the paths that a pattern matches and all paths below; paths end with a slash."""
    parts = pattern.strip("/").split("/")
    inner = ("(?:[^/]+/)*" if part == "**" else f"{_part_expression(part)}/" for part in parts)
    return re.compile(f"/{''.join(inner)}.*")


def absolute_pattern(pattern: str, site_packages: str) -> str:
    """Return a pattern of `exclude_files` as an absolute one; a relative pattern starts at site-packages."""
    return pattern if pattern.startswith("/") else f"{site_packages}/{pattern}"


def matching_pattern(path: str, patterns: Iterable[str]) -> Optional[str]:
    """Return the first of some absolute patterns that matches `path` or a folder above it; None if none does."""
    return next((p for p in patterns if _expression(p).fullmatch(f"{path}/")), None)


def patterns_for(patterns: Iterable[str], roots: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of `exclude_files` that may match one of the paths `roots`, or a path below one.

    Args:
        patterns: Absolute patterns.
        roots: Absolute paths, such as the outermost paths of a distribution.
    """
    return tuple(
        pattern for pattern in patterns if any(_may_match(pattern, root) for root in roots)
    )


def _may_match(pattern: str, root: str) -> bool:
    for part, name in zip(pattern.split("/"), root.split("/")):
        if part == "**":
            return True
        if not re.fullmatch(_part_expression(part), name):
            return False
    return True


def check_excluded(image: str, patterns: Iterable[str], matched: Collection[str]) -> None:
    """Check that each pattern of `exclude_files` matched some path in a layer of the image.

    Args:
        matched: Patterns that matched a path of a layer.

    Raises:
        SlimRayImageError: With each such pattern.
    """
    unmatched = sorted(set(patterns) - set(matched))
    if unmatched:
        raise SlimRayImageError(
            f"Patterns in `exclude_files` of {image} match no path of its layers.",
            evidence=unmatched,
            fixes=[
                "remove or correct them: a relative pattern starts at site-packages, and `*` does not match '/'"
            ],
        )


def outermost(paths: Iterable[str], site_packages: str) -> tuple[str, ...]:
    """Return the files and folders directly in site-packages that contain `paths`, and the paths elsewhere; sorted."""
    found = set()
    for path in paths:
        relative = posixpath.relpath(path, site_packages)
        found.add(
            path if relative.startswith("../") else f"{site_packages}/{relative.split('/')[0]}"
        )
    return tuple(sorted(found))
