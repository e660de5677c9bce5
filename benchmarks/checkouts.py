"""Copies of checkouts of this repository that the benchmarks run Pants in.

A copy contains the files that git tracks and the untracked files that git does not ignore. So edits of the checkout
during a benchmark have no effect, and a benchmark may write to its copy. Each copy has its own caches, which are empty
at first and after `empty_caches`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
_EVENT = re.compile(r"^(\d\d):(\d\d):(\d\d\.\d\d) \[INFO\] (Starting|Completed): (.*)$")
_DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Step:
    """One process of a run of Pants.

    Attributes:
        what: Pants' description of the process.
        start: In seconds from the start of the run's first process.
        end: In seconds from the start of the run's first process.
    """

    what: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Run:
    """One run of Pants: its duration in seconds, and the processes that it ran, in order of their start."""

    seconds: float
    steps: tuple[Step, ...]

    def span(self, pattern: str = "") -> Optional[float]:
        """Return the seconds from the first start to the last end of steps that `pattern` matches; None without any."""
        steps = [step for step in self.steps if re.match(pattern, step.what)]
        if not steps:
            return None
        return max(step.end for step in steps) - min(step.start for step in steps)


@dataclass(frozen=True)
class Checkout:
    """A copy of one checkout.

    Attributes:
        folder: Parent of the copy and of its caches.
        label: Distinguishes the checkouts of one benchmark; empty if there is only one.
        commit: HEAD of the original.
        changed: Whether the original has changes that are not committed.
        base: Base image as `oci:FOLDER:TAG`, or empty.
    """

    folder: Path
    label: str
    commit: str
    changed: bool
    base: str

    @property
    def path(self) -> Path:
        return self.folder / "repository"

    @property
    def _caches(self) -> Path:
        return self.folder / "caches"

    def empty_caches(self) -> None:
        """Remove the store, the named caches and the work folder of Pants."""
        shutil.rmtree(self._caches, ignore_errors=True)

    def pants(
        self, *arguments: str, pantsd: bool = False, environment: Mapping[str, str] = {}
    ) -> Run:
        """Run Pants once."""
        start = time.monotonic()
        run = subprocess.run(
            ["./pants", "--no-dynamic-ui", *arguments],
            cwd=self.path,
            env={**os.environ, **self._settings(), "PANTS_PANTSD": str(pantsd), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - start
        if run.returncode != 0:
            sys.exit(f"./pants {' '.join(arguments)} failed in {self.label}:\n{run.stderr}")
        return Run(seconds, steps_of(run.stderr))

    def _settings(self) -> dict[str, str]:
        settings = {
            "PANTS_LOCAL_STORE_DIR": f"{self._caches}/store",
            "PANTS_NAMED_CACHES_DIR": f"{self._caches}/named",
            "PANTS_WORKDIR": f"{self._caches}/workdir",
        }
        if self.base:
            settings["PANTS_SLIM_RAY_BASE_IMAGE_SOURCES"] = repr({"python:3.10-slim": self.base})
        index = os.environ.get("PIP_INDEX_URL")
        if index and "PANTS_PYTHON_REPOS_INDEXES" not in os.environ:
            settings["PANTS_PYTHON_REPOS_INDEXES"] = repr([index])
        return settings

    def output(self, target: str) -> Path:
        """Return the folder that `pants package` writes the image of `target` to."""
        folder, _, name = target.partition(":")
        return self.path / "dist" / folder.replace("/", ".") / name

    def image(self, target: str) -> dict[str, Any]:
        """Return the image.json of the packaged `target`."""
        described: dict[str, Any] = json.loads((self.output(target) / "image.json").read_text())
        return described

    def row(self, name: str) -> str:
        """Return the name of a row of the results, with the label of this checkout."""
        return f"{name}, {self.label}" if self.label else name

    def close(self) -> None:
        """End the Pants daemon of this copy, and remove the copy and its caches."""
        for pid_file in self.path.glob(".pids/*/pantsd/pid"):
            _end(int(pid_file.read_text()))
        shutil.rmtree(self.folder, ignore_errors=True)


def _end(pid: int) -> None:
    """End a process, and wait until it is gone."""
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            time.sleep(0.1)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def steps_of(log: str) -> tuple[Step, ...]:
    """Return the processes whose start and end are both in a log of Pants."""
    begun: dict[str, list[float]] = {}
    steps, first, last = [], None, 0.0
    for line in log.splitlines():
        match = _EVENT.match(line)
        if not match:
            continue
        at = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
        if at < last - _DAY / 2:  # past midnight
            at += _DAY
        first, last = at if first is None else first, at
        if match[4] == "Starting":
            begun.setdefault(match[5], []).append(at - first)
        elif begun.get(match[5]):
            steps.append(Step(match[5], begun[match[5]].pop(0), at - first))
    return tuple(sorted(steps, key=lambda step: (step.start, step.end, step.what)))


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _copy(repository: Path, target: Path) -> None:
    """Copy the current files of a checkout, except those that git ignores."""
    for name in _git(
        repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
    ).split("\0"):
        source = repository / name
        if not name or not (source.is_file() or source.is_symlink()):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target / name, follow_symlinks=False)


@contextmanager
def copy_of(repository: Path, base: str, labelled: bool = False) -> Iterator[Checkout]:
    """Copy a checkout to a temporary folder, for as long as the context lasts.

    `base` is the OCI image layout to read python:3.10-slim from. If `base` is empty, the image is read as in any build.
    """
    commit = _git(repository, "rev-parse", "HEAD").strip()
    label = (
        ("this checkout" if repository == REPOSITORY else f"commit {commit[:7]}")
        if labelled
        else ""
    )
    checkout = Checkout(
        folder=Path(tempfile.mkdtemp(prefix="slim_ray_image_benchmark.")),
        label=label,
        commit=commit,
        changed=bool(_git(repository, "status", "--porcelain").strip()),
        base=base,
    )
    try:
        _copy(repository, checkout.path)
        yield checkout
    finally:
        checkout.close()


@contextmanager
def copies_of(others: Sequence[Path], base: str) -> Iterator[list[Checkout]]:
    """Copy this checkout and `others`, for as long as the context lasts."""
    repositories = [REPOSITORY, *(other.resolve() for other in others)]
    with ExitStack() as stack:
        yield [
            stack.enter_context(copy_of(path, base, labelled=len(repositories) > 1))
            for path in repositories
        ]
