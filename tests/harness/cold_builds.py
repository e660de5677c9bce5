"""Cold builds of one service without a daemon, in caches of their own, with wheels from a folder.

In: the shared copy of this repository. Out: builds that tests may kill, and caches that tests may damage.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from harness.repository import PackagedImage, Repository

TARGET = "src/services/echo:image"
_LOCKS = "pants-plugins/slim_ray_image/locks"
# Platform tags that the base image and this machine accept.
_PLATFORMS = (
    *("any", "manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64"),
    *(f"manylinux_2_{minor}_x86_64" for minor in range(5, 37)),
)


def _download(folder: Path, *what: str) -> None:
    """Download wheels into a folder, from the index that pip is configured with."""
    python = str(Path(sys.base_prefix, "bin", "python3"))
    platforms = (argument for name in _PLATFORMS for argument in ("--platform", name))
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run(
        [*command, "--python-version", "3.10", *platforms, "--dest", str(folder), *what],
        check=True,
    )


def download_wheels(repository: Repository, echo: PackagedImage, folder: Path) -> Path:
    """Fill a folder with all wheels that a cold build fetches, so that no server's speed affects the build."""
    rows = echo.description["requirements"]
    _download(folder, *(f"{row['name']}=={row['version']}" for row in rows))
    for lock in ("base_tools.lock", "uv_executable.lock"):
        _download(folder, "--require-hashes", "-r", str(repository.path / _LOCKS / lock))
    return folder


def _started(log: Path) -> int:
    return len(re.findall(r"\[INFO\] Starting: ", log.read_text()))


def _kill_below(folder: Path) -> None:
    """Kill the processes whose working directory is below a folder."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                os.kill(int(entry.name), signal.SIGKILL)


class ColdBuild:
    """A build in empty caches, below a new folder.

    Attributes:
        store: Pants' own store.
        named: Pants' named caches.
    """

    def __init__(self, repository: Repository, wheels: Path, folder: Path) -> None:
        self.store, self.named = folder / "store", folder / "named"
        self._log, self._sandboxes = folder / "log", folder / "sandboxes"
        self._sandboxes.mkdir(parents=True)
        self.repository = Repository(
            repository.path,
            {
                **repository.environment,
                "PANTS_LOCAL_EXECUTION_ROOT_DIR": str(self._sandboxes),
                "PANTS_LOCAL_STORE_DIR": str(self.store),
                "PANTS_NAMED_CACHES_DIR": str(self.named),
                "PANTS_PANTSD": "false",
                "PANTS_PYTHON_REPOS_FIND_LINKS": repr([str(wheels)]),
                "PANTS_PYTHON_REPOS_INDEXES": "[]",
            },
            repository.umask,
        )

    @property
    def wheels(self) -> Path:
        """The cache of wheels: SHA-256 -> wheel."""
        return self.named / "slim_ray_image_wheels"

    def package(self) -> PackagedImage:
        """Run the build to its end."""
        return self.repository.package(TARGET)

    def kill_at(self, step: int, seconds: float, with_processes: bool) -> int:
        """Start a build, and kill it some time after it started a number of processes.

        Args:
            step: Number of started processes to wait for.
            seconds: Time to wait after that.
            with_processes: Whether to kill the processes of the build's sandboxes too.

        Returns:
            The number of processes that the build has started.
        """
        build = self.repository.start("package", TARGET, output=self._log)
        while build.poll() is None and _started(self._log) < step:
            time.sleep(0.01)
        time.sleep(seconds)
        assert build.poll() is None, self._log.read_text()
        os.killpg(build.pid, signal.SIGKILL)
        if with_processes:
            _kill_below(self._sandboxes)
        build.wait()
        return _started(self._log)
