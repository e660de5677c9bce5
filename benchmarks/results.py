"""Results of the benchmarks: every single value by row, printed as a Markdown table and written as JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from checkouts import REPOSITORY, Checkout


def parser_of(name: str, description: str, rounds: int) -> argparse.ArgumentParser:
    """Return the parser of the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(
        "--json",
        type=Path,
        default=REPOSITORY / f"benchmarks/results/{name}.json",
        metavar="FILE",
        help=f"where every single value is written (default: benchmarks/results/{name}.json)",
    )
    return parser


def add_base(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    """Add the argument for the base image."""
    parser.add_argument(
        "base",
        nargs="?" if optional else None,
        default="",
        help="the base image as an OCI image layout, for example oci:FOLDER:3.10-slim",
    )


def add_repository(parser: argparse.ArgumentParser) -> None:
    """Add the option for another checkout, which is measured in the same run."""
    parser.add_argument(
        "--repository",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="another checkout of this repository, of an older commit, to measure in the same run",
    )


class Results:
    """The values of each row, in the order of their first value."""

    def __init__(self, name: str, arguments: argparse.Namespace, checkouts: Sequence[Checkout]):
        self._file: Path = arguments.json
        self._values: dict[str, list[float]] = {}
        self._references: dict[str, str] = {}
        self._facts: dict[str, Any] = {
            "benchmark": name,
            "date": _now(),
            "machine": _machine(),
            "checkouts": [_checkout(checkout) for checkout in checkouts],
            "base": _base(arguments.base),
            "rounds": arguments.rounds,
        }

    def add(self, row: str, value: float, beside: str = "") -> None:
        """Add one value of a row; the table shows the ratio of the row's median to the median of the row `beside`."""
        self._values.setdefault(row, []).append(value)
        if beside:
            self._references[row] = beside

    def note(self, fact: str, value: Any) -> None:
        """Add a fact to the JSON that is not in the table."""
        self._facts[fact] = value

    def median(self, row: str) -> float:
        return statistics.median(self._values[row])

    def table(
        self, of: str, decimals: int = 1, columns: Mapping[str, Mapping[str, float]] = {}
    ) -> str:
        """Return the rows as a Markdown table: median, spread and ratio.

        Args:
            of: Title of the column of ratios.
            decimals: Number of decimals of median and spread.
            columns: Further columns on the left: title -> row -> value.
        """
        titles = [*columns, "median, s", "min to max, s", of]
        lines = [f"| measured | {' | '.join(titles)} |", f"|---|{'---:|' * len(titles)}"]
        for row, values in self._values.items():
            median, low, high = (
                f"{value:.{decimals}f}" for value in (self.median(row), min(values), max(values))
            )
            cells = [f"{column[row]:.0f}" for column in columns.values()]
            cells += [median, f"{low} to {high}", self._ratio(row)]
            lines.append(f"| {row} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def comparison(self, checkouts: Sequence[Checkout]) -> str:
        """Return Markdown tables that compare the first checkout with each other one; empty if there is no other."""
        lines = []
        for other in checkouts[1:]:
            lines += ["", f"| median, s | {checkouts[0].label} | {other.label} | ratio |"]
            lines += ["|---|---:|---:|---:|", *self._compared(checkouts[0], other)]
        return "\n".join(lines)

    def _compared(self, ours: Checkout, other: Checkout) -> Iterator[str]:
        for row in self._values:
            name = row[: -len(ours.row(""))]
            if row == ours.row(name) and other.row(name) in self._values:
                now, then = self.median(row), self.median(other.row(name))
                yield f"| {name} | {now:.2f} | {then:.2f} | {now / then:.2f} |"

    def _ratio(self, row: str) -> str:
        beside = self._references.get(row, "")
        if beside not in self._values:
            return ""
        return f"{self.median(row) / self.median(beside):.2f}"

    def write(self) -> None:
        """Write the JSON: facts about the run, and every single value."""
        values = {
            row: [round(value, 3) for value in values] for row, values in self._values.items()
        }
        ratios = {row: self._ratio(row) for row in self._values if self._ratio(row)}
        document = {**self._facts, "values": values, "ratios of medians": ratios}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(document, indent=2) + "\n")


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def _checkout(checkout: Checkout) -> dict[str, Any]:
    return {
        "label": checkout.label or "this checkout",
        "commit": checkout.commit,
        "changed": checkout.changed,
    }


def _base(layout: str) -> dict[str, str]:
    """Return the tag and the manifest digest of the base, without its folder, which means nothing on other machines."""
    _, _, rest = layout.partition(":")
    folder, _, tag = rest.rpartition(":")
    if not folder:
        return {"tag": "3.10-slim", "from": "where any build takes it from"}
    index = json.loads((Path(folder) / "index.json").read_text())
    for manifest in index["manifests"]:
        if manifest.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
            return {"tag": tag, "digest": manifest["digest"]}
    return {"tag": tag}
