"""Stage 4 of 6: the field `exclude_files` of a target -> patterns of the files that its layers leave out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Sequence

from slim_ray_image.closure import ImageClosure
from slim_ray_image.core.image_paths import site_packages_of
from slim_ray_image.core.layers.exclude_files import (
    absolute_pattern,
    check_excluded,
    matching_pattern,
)
from slim_ray_image.tools import BaseInterpreter


@dataclass(frozen=True)
class ExcludedFiles:
    """The patterns of the field `exclude_files` of a target, which select the files that its image leaves out.

    Attributes:
        patterns: Patterns as written in the target.
        absolute: The same patterns as absolute paths of the image.
    """

    patterns: tuple[str, ...]
    absolute: tuple[str, ...]

    def remove_from(
        self, closure: ImageClosure, workdir: str
    ) -> tuple[ImageClosure, frozenset[str]]:
        """Remove excluded first-party files from an image's content: return the rest, and the patterns that matched."""
        found = {
            file.path: matching_pattern(f"{workdir}/{file.path}", self.absolute)
            for file in closure.files
        }
        files = tuple(file for file in closure.files if not found[file.path])
        return replace(closure, files=files), frozenset(p for p in found.values() if p)

    def check(self, image: str, matched: Iterable[str]) -> None:
        """Check that each pattern of `exclude_files` matches a path in the layers that the image adds to its base.

        Raises:
            SlimRayImageError: If patterns match nothing; the error lists them.
        """
        there = set(matched)
        check_excluded(
            image,
            self.patterns,
            [p for p, absolute in zip(self.patterns, self.absolute) if absolute in there],
        )


def excluded_files(patterns: Sequence[str], interpreter: BaseInterpreter) -> ExcludedFiles:
    """Return the patterns of `exclude_files`, as written and as absolute paths (relative ones are in site-packages)."""
    site_packages = site_packages_of(interpreter.facts.python)
    return ExcludedFiles(
        tuple(patterns), tuple(absolute_pattern(pattern, site_packages) for pattern in patterns)
    )
