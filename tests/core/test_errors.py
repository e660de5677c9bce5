"""Tests of core.errors."""

from __future__ import annotations

import pytest

from slim_ray_image.core.errors import InvalidValueError, Problem, SlimRayImageError, format_error


@pytest.mark.parametrize(
    ("evidence", "fixes", "expected"),
    [
        pytest.param((), (), "It broke.", id="subject alone"),
        pytest.param(("b", "a"), (), "It broke.\n\n  * b\n  * a", id="evidence in its order"),
        pytest.param((), ("mend it",), "It broke.\n\nTo fix, mend it.", id="one fix"),
        pytest.param(
            (),
            ("mend it", "buy another"),
            "It broke.\n\nTo fix, do one of the following:\n  * mend it\n  * buy another",
            id="several fixes",
        ),
        pytest.param(
            ("a wheel is off",),
            ("mend it",),
            "It broke.\n\n  * a wheel is off\n\nTo fix, mend it.",
            id="all parts",
        ),
    ],
)
def test_error_is_subject_evidence_and_fix(
    evidence: tuple[str, ...], fixes: tuple[str, ...], expected: str
) -> None:
    """An error's text is its subject, evidence and fixes; absent parts leave no trace."""
    error = SlimRayImageError("It broke.", evidence=evidence, fixes=fixes)
    assert str(error) == expected == format_error("It broke.", evidence, fixes)


def test_evidence_is_cut_after_ten_and_says_so() -> None:
    """Up to ten bullets are all shown; of more, the first ten and the number of the others."""
    ten = [str(number) for number in range(10)]
    shown = "\n".join(f"  * {number}" for number in range(10))
    assert str(SlimRayImageError("It broke.", evidence=ten)) == f"It broke.\n\n{shown}"
    assert (
        str(SlimRayImageError("It broke.", evidence=[*ten, "x", "y"]))
        == f"It broke.\n\n{shown}\n  * ... and 2 more"
    )


def test_error_keeps_its_parts() -> None:
    """An error keeps its parts uncut, for callers that collect the problems of several errors."""
    evidence = [str(number) for number in range(12)]
    error = SlimRayImageError("It broke.", evidence=evidence, fixes=["mend it"])
    assert error.problems == (Problem("It broke.", tuple(evidence), ("mend it",)),)


def test_error_of_problems_reports_each_once() -> None:
    """The text has every problem in full and in order; equal problems appear once."""
    first, second = Problem("It broke.", fixes=("mend it",)), Problem("It leaks.", ("a drop",))
    error = SlimRayImageError.of([first, second, first])
    assert str(error) == "It broke.\n\nTo fix, mend it.\n\nIt leaks.\n\n  * a drop"
    assert str(SlimRayImageError.of([first])) == str(
        SlimRayImageError(first.subject, fixes=first.fixes)
    )


def test_value_error_is_complete_once_its_place_is_known() -> None:
    """An error of a parser becomes complete when its caller adds the place of the value."""
    error = InvalidValueError("must be 1, but was 2.", evidence=["2 is even"], fixes=["use 1"])
    assert not isinstance(error, SlimRayImageError)
    assert str(error.of("The option `[slim-ray].x`")) == (
        "The option `[slim-ray].x` must be 1, but was 2.\n\n  * 2 is even\n\nTo fix, use 1."
    )
