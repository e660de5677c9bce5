"""Prints a summary of the last test runs: the skipped tests, the reason, and the command that provides their needs.

Usage: pants run tests/summary.py [-- --must-not-skip NEED ...]

In: the JUnit reports that `pants test` writes to dist/test/reports, also for results from its cache. Out: a table on
stdout, and the sums. With --must-not-skip, exits with 1 if a test was skipped because one of these needs is not met.
Exits with 1 also if there is no report.
"""

from __future__ import annotations

import argparse
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

REPORTS = Path("dist/test/reports")
# The format of the reason of a skip, from tests/needs.py.
_REASON = re.compile(r"needs (?P<need>[\w-]+): (?P<problem>.*); to bring it: (?P<command>.*)")


@dataclass(frozen=True)
class Summary:
    """The numbers of tests in some reports.

    Attributes:
        skipped: Reason -> number of tests skipped for it.
    """

    passed: int
    failed: int
    skipped: Counter[str]

    @property
    def unmet_needs(self) -> set[str]:
        """Names of the needs that the machine of the tests did not meet."""
        return {match["need"] for match in map(_REASON.match, self.skipped) if match}

    @property
    def sums(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {sum(self.skipped.values())} skipped"


def read_reports(folder: Path) -> Summary:
    """Return the summary of all reports in a folder."""
    tests, failed, skipped = 0, 0, Counter[str]()
    for path in sorted(folder.glob("*.xml")):
        for case in ElementTree.parse(path).iter("testcase"):
            tests += 1
            failed += case.find("failure") is not None or case.find("error") is not None
            skipped.update(found.get("message", "") for found in case.iter("skipped"))
    return Summary(tests - failed - sum(skipped.values()), failed, skipped)


def _row(count: int, reason: str) -> tuple[str, ...]:
    match = _REASON.match(reason)
    if match is None:
        return str(count), "", reason, ""
    return str(count), match["need"], match["problem"], match["command"]


def table(skipped: Counter[str]) -> str:
    """Return the table of the skipped tests, the most frequent reason first."""
    rows: list[tuple[str, ...]] = [("skipped", "need", "why it is not met", "how to meet it")]
    rows += [_row(count, reason) for reason, count in skipped.most_common()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{row[0]:>{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip()
        for row in rows
    )


def main(arguments: Sequence[str]) -> int:
    """Print the summary and return the exit code."""
    parser = argparse.ArgumentParser(prog="summary", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--must-not-skip", nargs="+", default=[], metavar="NEED")
    must_not_skip = set(parser.parse_args(arguments).must_not_skip)
    if not any(REPORTS.glob("*.xml")):
        print(f"There is no report in {REPORTS}.\n\nTo fix, run `pants test ::` first.")
        return 1
    summary = read_reports(REPORTS)
    if summary.skipped:
        print(table(summary.skipped))
        print("\nTo run them, meet their needs, then: pants test --force ::\n")
    missed = sorted(must_not_skip & summary.unmet_needs)
    if missed:
        print(f"Tests were skipped, though these needs must be met: {', '.join(missed)}.\n")
    print(summary.sums)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
