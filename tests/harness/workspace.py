"""The temporary folder of a test run, and what earlier runs left behind.

Pants kills tests three seconds after it was interrupted, or when a file changed under them. Then nobody ends the Pants
daemons, the registry and the databases of that run, nor removes its gigabytes; so the next run does.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

_PREFIX = "slim_ray_image-tests-"
_OWNER = "owner.pid"
# Where a daemon that a test started says its process id.
_DAEMONS = ("*/pid", "*/.pids/*/pantsd/pid", "*/*/.pids/*/pantsd/pid")


def _is_of(folder: Path, pid: int) -> bool:
    """Whether a process, by what it is called, was started for `folder`."""
    try:
        return str(folder) in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def end_process(pid: int) -> None:
    """Terminate a process that the tests started, and wait until it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if is_alive(pid):
            os.kill(pid, number)
        for _ in range(100):
            if not is_alive(pid):
                return
            time.sleep(0.1)


def remove_workspace(folder: Path) -> None:
    """End what still runs for a folder, and remove it."""
    for pattern in _DAEMONS:
        for path in folder.glob(pattern):
            pid = int(path.read_text())
            if _is_of(folder, pid):
                end_process(pid)
    shutil.rmtree(folder, ignore_errors=True)


def make_workspace() -> Path:
    """Make a folder, and remove those whose test run is over."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNER}"):
        owner = path.read_text()
        if owner and not is_alive(int(owner)):
            remove_workspace(path.parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    folder.chmod(0o711)  # servers of databases run as users of their own, in folders of this one
    (folder / _OWNER).write_text(str(os.getpid()))
    return folder
