"""The temporary folder of a test run, and the removal of leftovers of earlier runs.

Pants kills tests three seconds after an interrupt, or when one of their files changes. Then the Pants daemons, the
registry and the databases of that run go on, and its gigabytes stay; so the next run ends and removes them.
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
# Files in which the daemons that tests start write their process ids.
_DAEMONS = ("*/pid", "*/.pids/*/pantsd/pid", "*/*/.pids/*/pantsd/pid")


def _is_of(folder: Path, pid: int) -> bool:
    """Return whether the command line of a process names `folder`."""
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
    """End the daemons that still run for a folder, and remove the folder."""
    for pattern in _DAEMONS:
        for path in folder.glob(pattern):
            pid = int(path.read_text())
            if _is_of(folder, pid):
                end_process(pid)
    shutil.rmtree(folder, ignore_errors=True)


def make_workspace() -> Path:
    """Create a folder for this test run, and remove the folders of runs that are over."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNER}"):
        owner = path.read_text()
        if owner and not is_alive(int(owner)):
            remove_workspace(path.parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    folder.chmod(0o711)  # Database servers run as other users, in folders below this one.
    (folder / _OWNER).write_text(str(os.getpid()))
    return folder
