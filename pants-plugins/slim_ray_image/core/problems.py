"""What a check found, in the one form of our errors; all of it is told at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from slim_ray_image.core.errors import format_error


@dataclass(frozen=True)
class Problem:
    """Why a check fails: see `SlimRayImageError` for its parts."""

    subject: str
    evidence: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return format_error(self.subject, self.evidence, self.fixes)


def format_problems(problems: Sequence[Problem]) -> str:
    """Return the text of all of them; "" of none."""
    return "\n\n".join(map(str, problems))
