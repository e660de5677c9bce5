"""Errors that a user can cause, and their one form: subject, evidence, "To fix, ..."."""

from __future__ import annotations

from typing import Sequence

_MOST_BULLETS = 10


class SlimRayImageError(Exception):
    """A mistake that the user can mend. Its text is complete: it is shown without a traceback.

    Args:
        subject: The rule that was broken, with the names and the value received. Full sentences.
        evidence: What was looked at, one bullet each; sorted by the caller, cut after ten.
        fixes: Imperatives without a leading "To fix,"; the likeliest first.
    """

    def __init__(
        self, subject: str, *, evidence: Sequence[str] = (), fixes: Sequence[str] = ()
    ) -> None:
        self.subject = subject
        self.evidence = tuple(evidence)
        self.fixes = tuple(fixes)
        super().__init__(format_error(subject, self.evidence, self.fixes))


def count_of(count: int, noun: str) -> str:
    """Return a number of things in words, as "1 file" or "2 files"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def format_error(subject: str, evidence: Sequence[str], fixes: Sequence[str]) -> str:
    """Return the text that a user sees."""
    parts = [subject]
    if evidence:
        shown = [f"  * {item}" for item in evidence[:_MOST_BULLETS]]
        if len(evidence) > _MOST_BULLETS:
            shown.append(f"  * ... and {len(evidence) - _MOST_BULLETS} more")
        parts.append("\n".join(shown))
    if len(fixes) == 1:
        parts.append(f"To fix, {fixes[0]}.")
    elif fixes:
        parts.append("\n".join(["To fix, do one of the following:", *(f"  * {f}" for f in fixes)]))
    return "\n\n".join(parts)
