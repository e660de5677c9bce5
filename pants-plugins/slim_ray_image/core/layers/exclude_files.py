"""Stage 4 of 6: the field `exclude_files`, patterns of paths that do not go into the image.

In: the patterns. Out: what they match, in the layers and in the plan, where only the outermost paths are known.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import Collection, Iterable, Optional

from slim_ray_image.core.errors import InvalidValueError, SlimRayImageError

EXCLUDE_FILES = "exclude_files"


def parse_exclude_files(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of a field `exclude_files`, sorted.

    Raises:
        InvalidValueError: If one is no path of the image.
    """
    patterns = tuple(sorted(patterns))
    wrong = [p for p in patterns if not p.strip("/*") or ".." in p.split("/") or "//" in p]
    if wrong:
        raise InvalidValueError(
            "must hold paths, absolute or relative to site-packages, without '..' and not of wildcards alone, but has "
            f"{', '.join(map(repr, wrong))}.",
            fixes=["use paths like 'numpy/_core/tests/*' or '/usr/local/bin/wget'"],
        )
    return patterns


def _part_expression(part: str) -> str:
    """Of one folder's or file's name."""
    wildcards = {"*": "[^/]*", "?": "[^/]"}
    return "".join(wildcards.get(character) or re.escape(character) for character in part)


@lru_cache(maxsize=1000)
def _expression(pattern: str) -> re.Pattern[str]:
    """Of a whole path, with a slash at its end; what is below a match matches as well."""
    parts = pattern.strip("/").split("/")
    inner = ("(?:[^/]+/)*" if part == "**" else f"{_part_expression(part)}/" for part in parts)
    return re.compile(f"/{''.join(inner)}.*")


def absolute_pattern(pattern: str, site_packages: str) -> str:
    """Return a pattern of `exclude_files` as a path of the image."""
    return pattern if pattern.startswith("/") else f"{site_packages}/{pattern}"


def matching_pattern(path: str, patterns: Iterable[str]) -> Optional[str]:
    """Return the first of absolute patterns that matches an absolute path or a folder above it."""
    return next((p for p in patterns if _expression(p).fullmatch(f"{path}/")), None)


def patterns_for(patterns: Iterable[str], roots: Iterable[str]) -> tuple[str, ...]:
    """Return those of absolute patterns that may match `roots`, or what is below them.

    Args:
        roots: Absolute paths, as of the outermost folders that a distribution has for itself.
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
    """Raise if a pattern of `exclude_files` matches nothing.

    Raises:
        SlimRayImageError: With each such pattern.
    """
    unmatched = sorted(set(patterns) - set(matched))
    if unmatched:
        raise SlimRayImageError(
            f"Patterns of `exclude_files` of {image} match nothing that its layers hold.",
            evidence=unmatched,
            fixes=[
                "remove them, or correct them: a relative one starts below site-packages, and `*` does not match '/'"
            ],
        )


def outermost(paths: Iterable[str], site_packages: str) -> tuple[str, ...]:
    """Return the outermost paths that files of a distribution take: folders in site-packages, and files elsewhere."""
    found = set()
    for path in paths:
        relative = posixpath.relpath(path, site_packages)
        found.add(
            path if relative.startswith("../") else f"{site_packages}/{relative.split('/')[0]}"
        )
    return tuple(sorted(found))
