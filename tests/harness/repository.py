"""A copy of this repository's working files in a temporary folder, and its own `./pants`.

Nothing of the tests' own Pants or Python reaches it: each run is as from a user's shell.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from harness.image_layout import ImageLayout
from harness.workspace import end_process

# The build root: of the working tree, or of the sandbox that Pants runs the tests in.
ROOT = Path(__file__).resolve().parents[2]
WORKING_FILES = (
    "3rdparty",
    "build-support",
    "pants",
    "pants-plugins",
    "pants.toml",
    "pyproject.toml",
    "src",
)
# Of the environment, what belongs to the Pants, the PEX and the pytest that run the tests.
_NOT_PASSED_ON = ("PANTS_", "PEX", "PYTEST", "PYTHON", "VIRTUAL_ENV")
_PASSED_ON = ("PANTS_CA_CERTS_PATH", "PANTS_PYTHON_REPOS_FIND_LINKS", "PANTS_PYTHON_REPOS_INDEXES")
_TIMEOUT_SECONDS = 600


def clean_environment() -> dict[str, str]:
    """Return the environment of the user who runs the tests."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or not name.startswith(_NOT_PASSED_ON)
    }


@dataclass(frozen=True)
class PantsRun:
    """A run that has ended. `output` is stdout and stderr as they came."""

    exit_code: int
    output: str

    @cached_property
    def started(self) -> tuple[str, ...]:
        """The descriptions of the processes that ran; those found in a cache are not among them.

        A process is there once, though Pants starts it anew when it hears of an edit while it runs.
        """
        return tuple(dict.fromkeys(re.findall(r"\[INFO\] Starting: (.*)", self.output)))

    @cached_property
    def completed(self) -> tuple[str, ...]:
        """The descriptions of the processes that ran to their end on this machine."""
        return tuple(re.findall(r"\[INFO\] Completed: (.*)", self.output))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        return tuple(re.findall(r"\[WARN\] (.*)", self.output))


@dataclass(frozen=True)
class PackagedImage:
    """What `pants package` wrote for a target, and the run that did."""

    target: str
    folder: Path
    run: PantsRun

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """image.json."""
        return json.loads((self.folder / "image.json").read_bytes())

    @cached_property
    def layout(self) -> ImageLayout:
        return ImageLayout(self.folder / "oci")

    @cached_property
    def own_rows(self) -> tuple[Mapping[str, Any], ...]:
        """The layers in image.json that are not the base's."""
        return tuple(row for row in self.description["layers"] if row["kind"] != "base")

    @cached_property
    def distributions(self) -> frozenset[str]:
        return frozenset(row["name"] for row in self.description["requirements"])

    def move_to(self, folder: Path) -> PackagedImage:
        """Return a copy that later runs do not touch."""
        shutil.copytree(self.folder, folder)
        return PackagedImage(self.target, folder, self.run)


@dataclass
class Repository:
    """The copy.

    Attributes:
        environment: Of every run, before what a run adds.
        umask: Of every run; -1 is that of the tests.
    """

    path: Path
    environment: Mapping[str, str]
    umask: int = -1
    _replaced: dict[Path, Optional[bytes]] = field(default_factory=dict)

    @classmethod
    def copy(cls, path: Path, environment: Mapping[str, str], umask: int = -1) -> Repository:
        """Copy the working files to the new folder `path`, with the modes that `umask` leaves and the time of now."""
        before = os.umask(0o022 if umask == -1 else umask)
        try:
            path.mkdir(parents=True)
            for name in WORKING_FILES:
                _copy(ROOT / name, path / name)
        finally:
            os.umask(before)
        fixed = {"PANTS_COLORS": "false", "PANTS_DYNAMIC_UI": "false"}
        return cls(path, {**clean_environment(), **environment, **fixed}, umask)

    def start(self, *arguments: str, output: Path) -> subprocess.Popen[bytes]:
        """Start Pants in a process group of its own, as a shell does."""
        with output.open("wb") as file:
            return subprocess.Popen(
                ["./pants", *arguments],
                cwd=self.path,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def pants(
        self, *arguments: str, check: bool = True, within: Sequence[str] = (), **environment: str
    ) -> PantsRun:
        """Run Pants to its end, with more in its environment; unless `check` is off, it must succeed.

        Args:
            within: A command that runs another, as `env`, to run Pants by.
        """
        process = subprocess.run(
            [*within, "./pants", *arguments],
            cwd=self.path,
            env={**self.environment, **environment},
            umask=self.umask,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        run = PantsRun(process.returncode, process.stdout.decode())
        assert run.exit_code == 0 or not check, f"pants {' '.join(arguments)}:\n{run.output}"
        return run

    def package(self, target: str, *options: str) -> PackagedImage:
        run = self.pants(*options, "package", target)
        return PackagedImage(target, self.output_of(target), run)

    def output_of(self, target: str) -> Path:
        """Return the folder that `pants package` writes for a target."""
        path, _, name = target.partition(":")
        return self.path / "dist" / path.replace("/", ".") / name

    def write(self, name: str, content: str) -> None:
        """Write a file, until `restore`."""
        path = self.path / name
        self._replaced.setdefault(path, path.read_bytes() if path.exists() else None)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def read(self, name: str) -> str:
        return (self.path / name).read_text()

    def restore(self) -> None:
        """Take back what `write` wrote."""
        for path, content in self._replaced.items():
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
        self._replaced.clear()

    def close(self) -> None:
        """End the Pants daemon of this copy."""
        for pid_file in self.path.glob(".pids/*/pantsd/pid"):
            end_process(int(pid_file.read_text()))


def _copy(source: Path, target: Path) -> None:
    """Copy content, and whether it can be executed; nothing else of a file's metadata."""
    if not source.is_dir():
        shutil.copyfile(source, target)
        if source.stat().st_mode & 0o100:
            target.chmod(target.stat().st_mode | 0o100)
        return
    target.mkdir()
    for child in sorted(source.iterdir()):
        if child.name != "__pycache__":
            _copy(child, target / child.name)
