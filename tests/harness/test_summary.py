"""Tests of the summary of test runs, and of the markers whose reasons it reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import summary
from conftest import PYTHONPATH

REPORT = """\
<testsuites><testsuite>
<testcase name="a"/>
<testcase name="e"><failure message="assert False"/></testcase>
<testcase name="f"><error message="of a fixture"/></testcase>
<testcase name="b"><skipped message="{docker}"/></testcase>
<testcase name="c"><skipped message="{docker}"/></testcase>
<testcase name="d"><skipped message="of another kind"/></testcase>
</testsuite></testsuites>
"""
DOCKER = "needs docker: it sleeps; to bring it: wake it"


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build root with a folder for reports."""
    monkeypatch.chdir(tmp_path)
    summary.REPORTS.mkdir(parents=True)
    return summary.REPORTS


def test_table_has_reason_number_and_command(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each reason is a row, the most frequent first; a reason of another form is shown unchanged."""
    (reports / "a.xml").write_text(REPORT.format(docker=DOCKER))
    assert summary.main([]) == 0
    assert capsys.readouterr().out == (
        "skipped  need    why it is not met  how to meet it\n"
        "      2  docker  it sleeps          wake it\n"
        "      1          of another kind\n"
        "\n"
        "To run them, meet their needs, then: pants test --force ::\n"
        "\n"
        "1 passed, 2 failed, 3 skipped\n"
    )


def test_skip_for_want_of_what_must_be_there_fails(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1 if a test was skipped for a need that `--must-not-skip` names, else 0."""
    (reports / "a.xml").write_text(REPORT.format(docker=DOCKER))
    assert summary.main(["--must-not-skip", "root", "registry"]) == 0
    assert summary.main(["--must-not-skip", "root", "docker"]) == 1
    assert "though these needs must be met: docker.\n" in capsys.readouterr().out


def test_no_report_fails(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary fails if there is no report of a test run."""
    assert summary.main([]) == 1
    assert "To fix, run `pants test ::` first." in capsys.readouterr().out


def test_marker_gives_a_reason_that_the_table_reads(tmp_path: Path, reports: Path) -> None:
    """The reason of a marker, in a report that pytest itself writes, is found by the summary."""
    (tmp_path / "conftest.py").write_text(
        "from needs import skip_unless_met\n\n\ndef pytest_runtest_setup(item):\n    skip_unless_met(item)\n"
    )
    (tmp_path / "test_it.py").write_text(
        'from needs import needs\n\n\n@needs("modern-pants")\ndef test_it():\n    assert False\n'
    )
    command = [sys.executable, "-m", "pytest", "-q", "--junitxml", str(reports / "a.xml")]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    environment.pop("MODERN_PANTS_PYTHON", None)
    subprocess.run([*command, str(tmp_path)], env=environment, check=True, capture_output=True)
    found = summary.read_reports(reports)
    assert (found.unmet_needs, found.sums) == ({"modern-pants"}, "0 passed, 0 failed, 1 skipped")
