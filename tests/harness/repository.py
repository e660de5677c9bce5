"""A copy of this repository's working files in a temporary folder, and its own `./pants`.

Nothing of the tests' own Pants or Python reaches the copy: each run of `./pants` starts as from a user's shell.
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

# The build root: the working tree, or the sandbox in which Pants runs the tests.
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
# Prefixes of variables that belong to the Pants, the PEX and the pytest that run the tests.
_NOT_PASSED_ON = ("PANTS_", "PEX", "PYTEST", "PYTHON", "VIRTUAL_ENV")
_PASSED_ON = ("PANTS_CA_CERTS_PATH", "PANTS_PYTHON_REPOS_FIND_LINKS", "PANTS_PYTHON_REPOS_INDEXES")
_TIMEOUT_SECONDS = 600


def clean_environment() -> dict[str, str]:
    """Return the environment of the user, without the variables of the Pants and the Python that run the tests."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or not name.startswith(_NOT_PASSED_ON)
    }


@dataclass(frozen=True)
class PantsRun:
    """A finished run of Pants. `output` is stdout and stderr together, in the order of writing."""

    exit_code: int
    output: str

    @cached_property
    def started(self) -> tuple[str, ...]:
        """The descriptions of the processes that ran, without those whose result was in a cache.

        Each process is listed once, although Pants restarts a running process when it notices an edit.
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
    """The output of `pants package` for a target, and the run that wrote it."""

    target: str
    folder: Path
    run: PantsRun

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """The parsed image.json."""
        return json.loads((self.folder / "image.json").read_bytes())

    @cached_property
    def layout(self) -> ImageLayout:
        return ImageLayout(self.folder / "oci")

    @cached_property
    def own_rows(self) -> tuple[Mapping[str, Any], ...]:
        """The rows of image.json for layers that are not the base's."""
        return tuple(row for row in self.description["layers"] if row["kind"] != "base")

    @cached_property
    def distributions(self) -> frozenset[str]:
        return frozenset(row["name"] for row in self.description["requirements"])

    def move_to(self, folder: Path) -> PackagedImage:
        """Copy the output to `folder`, where later runs do not change it, and return the copy."""
        shutil.copytree(self.folder, folder)
        return PackagedImage(self.target, folder, self.run)


@dataclass
class Repository:
    """A copy of the repository.

    Attributes:
        path: Its build root.
        environment: Variables of every run; a run may add more.
        umask: Umask of every run; -1 keeps the umask of the tests.
    """

    path: Path
    environment: Mapping[str, str]
    umask: int = -1
    _replaced: dict[Path, Optional[bytes]] = field(default_factory=dict)

    @classmethod
    def copy(cls, path: Path, environment: Mapping[str, str], umask: int = -1) -> Repository:
        """Copy the working files to the new folder `path`, with modes limited by `umask` and the current time."""
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
        """Start Pants in a process group of its own, like a shell."""
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
        """Run Pants to its end; with `check`, the run must succeed.

        Args:
            within: Command that runs Pants, such as `env` with its arguments.
            environment: Further variables of the run.
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
        """Return the folder in dist/ that `pants package` writes for a target."""
        path, _, name = target.partition(":")
        return self.path / "dist" / path.replace("/", ".") / name

    def write(self, name: str, content: str) -> None:
        """Write a file; `restore` undoes this."""
        path = self.path / name
        self._replaced.setdefault(path, path.read_bytes() if path.exists() else None)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def read(self, name: str) -> str:
        return (self.path / name).read_text()

    def restore(self) -> None:
        """Undo all calls of `write` since the last `restore`."""
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
    """Copy a file or a folder: content and executable bit, no other metadata, and no bytecode."""
    if not source.is_dir():
        shutil.copyfile(source, target)
        if source.stat().st_mode & 0o100:
            target.chmod(target.stat().st_mode | 0o100)
        return
    target.mkdir()
    for child in sorted(source.iterdir()):
        if child.name != "__pycache__":
            _copy(child, target / child.name)
