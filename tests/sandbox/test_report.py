"""Tests of sandbox.report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Mapping

import pytest

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.report import run_program, write_json


def test_program_gets_its_request(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one argument names a JSON file, whose content is the request."""
    (sandbox / "request.json").write_text('{"a": "é"}', encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])
    requests: list[Mapping[str, Any]] = []
    run_program(requests.append)
    assert requests == [{"a": "é"}]


def test_mistake_is_told_on_stderr_with_an_exit_code_of_its_own(
    sandbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's mistake ends the program with 65 and its whole text, without a traceback."""
    (sandbox / "request.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])

    def fail(request: Mapping[str, Any]) -> None:
        raise SlimRayImageError("It broke.", fixes=["mend it"])

    with pytest.raises(SystemExit) as ended:
        run_program(fail)
    assert ended.value.code == 65
    assert capsys.readouterr() == ("", "It broke.\n\nTo fix, mend it.")


def test_fault_is_not_taken_for_a_mistake(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other exception is the program's own fault, and keeps its traceback."""
    (sandbox / "request.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])

    def fail(request: Mapping[str, Any]) -> None:
        raise KeyError("base")

    with pytest.raises(KeyError):
        run_program(fail)


def test_json_is_written_in_one_spelling(sandbox: Path) -> None:
    """Equal values are equal files, whatever the order of their keys."""
    write_json("a.json", {"b": 1, "a": [2]})
    write_json("b.json", {"a": [2], "b": 1})
    text = (sandbox / "a.json").read_text()
    assert text == (sandbox / "b.json").read_text()
    assert list(json.loads(text)) == ["a", "b"]
