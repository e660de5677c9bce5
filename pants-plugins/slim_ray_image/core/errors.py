"""Errors that a user can cause, all of one form: subject, evidence, "To fix, ..."."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

_MOST_BULLETS = 10


@dataclass(frozen=True)
class Problem:
    """A broken rule, with facts that show it and ways to fix it. Problems of one kind are reported together.

    Attributes:
        subject: The broken rule, with the names and the received value. Full sentences.
        evidence: Facts that show the problem, one bullet each. The caller sorts them; the text shows the first ten.
        fixes: Imperatives without a leading "To fix,"; the likeliest first.
    """

    subject: str
    evidence: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return format_error(self.subject, self.evidence, self.fixes)


class SlimRayImageError(Exception):
    """A mistake that the user can correct. Its text is complete, and is shown without a traceback.

    Args:
        subject: Subject of the error's one `Problem`; `of` makes an error of several problems.
        evidence: Evidence of the problem.
        fixes: Fixes of the problem.
    """

    def __init__(
        self, subject: str, *, evidence: Sequence[str] = (), fixes: Sequence[str] = ()
    ) -> None:
        problem = Problem(subject, tuple(evidence), tuple(fixes))
        self.problems: tuple[Problem, ...] = (problem,)
        super().__init__(str(problem))

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> SlimRayImageError:
        """Return one error whose text reports all of `problems`."""
        error = cls(problems[0].subject)
        error.problems = tuple(problems)
        error.args = (format_problems(problems),)
        return error


class InvalidValueError(Exception):
    """A value that breaks a rule, raised where the place of the value is unknown; `of` completes the message.

    Args:
        rule: A predicate with the value received, such as "must be one of 'a', 'b', but was 'c'.".
        evidence: As in `Problem`.
        fixes: As in `Problem`.
    """

    def __init__(
        self, rule: str, *, evidence: Sequence[str] = (), fixes: Sequence[str] = ()
    ) -> None:
        self.rule = rule
        self.evidence = tuple(evidence)
        self.fixes = tuple(fixes)
        super().__init__(format_error(rule, self.evidence, self.fixes))

    def of(self, place: str) -> SlimRayImageError:
        """Return the error for an invalid value at `place`, such as "The option `[slim-ray].prune`"."""
        return SlimRayImageError(f"{place} {self.rule}", evidence=self.evidence, fixes=self.fixes)


def count_of(count: int, noun: str) -> str:
    """Return a number with its noun, such as "1 file" or "2 files"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def format_problems(problems: Sequence[Problem]) -> str:
    """Return the text of all problems for the user, each once; "" without problems."""
    return "\n\n".join(dict.fromkeys(map(str, problems)))


def format_error(subject: str, evidence: Sequence[str], fixes: Sequence[str]) -> str:
    """Return the text of a problem for the user: the subject, at most ten facts, and the fixes."""
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
