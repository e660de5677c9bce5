"""A simulated machine without a Python: a copy of the set-up of Pants, a PATH with few programs, and a mirror."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional

from setup.packed_python import pack_python

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("build-support/pants", "pants", "quickstart")
# Programs on PATH: bash, curl, tar and programs that every Linux has; no Python.
PROGRAMS = (
    "bash cat chmod curl cut dirname env find grep gzip head id ln mkdir mktemp mv readlink rm sed seq sha256sum sleep "
    "sort tail tar tr uname wc"
).split()
RELEASES = "https://github.com/astral-sh/python-build-standalone/releases/download"
RELEASE = "20990101"
VERSION = "3.9.99"
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Archive:
    """An archive of a CPython 3.9 in the folder of a mirror."""

    folder: Path
    sha256: str

    @property
    def name(self) -> str:
        return f"cpython-{VERSION}+{RELEASE}-{platform.machine()}-unknown-linux-gnu-install_only_stripped.tar.gz"

    @property
    def path(self) -> Path:
        return self.folder / RELEASE / self.name

    @property
    def url_path(self) -> str:
        return f"{RELEASE}/{self.name.replace('+', '%2B')}"


def pack_this_python(folder: Path) -> Archive:
    """Pack the CPython 3.9 that runs the tests."""
    archive = Archive(folder, "")
    archive.path.parent.mkdir(parents=True)
    pack_python(Path(sys.base_prefix), str(sys.version_info[1]), archive.path)
    return Archive(folder, hashlib.sha256(archive.path.read_bytes()).hexdigest())


@dataclass(frozen=True)
class Run:
    """A finished command. `output` is its stdout, `errors` its stderr."""

    exit_code: int
    output: str
    errors: str


@dataclass
class FreshMachine:
    """The machine, in a new folder.

    Attributes:
        folder: Parent of all files of the machine.
        archive: The one archive that pythons.txt pins at first.
        settings: Further variables of the environment.
    """

    folder: Path
    archive: Archive
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in COPIED:
            source, target = ROOT / name, self.tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)
        self.programs.mkdir()
        for name in PROGRAMS:
            path = shutil.which(name)
            assert path, f"There is no `{name}` on PATH."
            (self.programs / name).symlink_to(path)
        (self.folder / "home").mkdir()
        self.pin(self.archive.sha256)
        self.settings["SLIM_RAY_IMAGE_PYTHON_MIRROR"] = self.archive.folder.as_uri()

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def programs(self) -> Path:
        return self.folder / "bin"

    @property
    def pythons(self) -> Path:
        """The folder of the cache with the fetched CPythons."""
        return self.folder / "cache/python"

    @property
    def fetched(self) -> Path:
        """The folder of the fetched CPython 3.9."""
        return self.pythons / f"{VERSION}-{platform.machine()}-{self.archive.sha256[:16]}"

    def pin(self, sha256: str, system: Optional[str] = None) -> None:
        """Pin only the mirror's archive, with this hash, for `system` or for this one."""
        line = f"3.9 {system or f'linux-{platform.machine()}'} {sha256} {RELEASES}/{self.archive.url_path}\n"
        (self.tree / "build-support/pants/pythons.txt").write_text(f"# comment\n{line}")

    def install(self, program: str, text: str) -> None:
        """Write a program into PATH; `text` is its content."""
        path = self.programs / program
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.folder / "home"),
            "PATH": str(self.programs),
            "SLIM_RAY_IMAGE_CACHE": str(self.folder / "cache"),
            **self.settings,
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command of the tree in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.tree,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> Run:
        """Run a command of the tree to its end."""
        process = self.start(*command)
        output, errors = process.communicate(timeout=_TIMEOUT_SECONDS)
        return Run(process.returncode, output, errors)

    def find_python(self) -> Run:
        """Run python.sh, which finds or fetches a CPython 3.9."""
        return self.run("build-support/pants/python.sh", "3.9")

    def neutral(self, text: str) -> str:
        """Return a text with placeholders for paths, hashes and the architecture of this machine."""
        for path, name in ((self.archive.folder, "MIRROR"), (self.folder, "MACHINE")):
            text = text.replace(str(path), name)
        text = text.replace(self.archive.sha256, "SHA256").replace(self.archive.sha256[:16], "SHA")
        return text.replace(platform.machine(), "ARCHITECTURE")


def leftovers(machine: FreshMachine) -> list[str]:
    """Return the names in the folder of CPythons, except the fetched one."""
    names = os.listdir(machine.pythons) if machine.pythons.exists() else []
    return sorted(name for name in names if name != machine.fetched.name)
