"""Removes a container as soon as the program that started it is gone, or its time is over.

A smoke test starts it as `python -c TEXT NAME SECONDS`, in a session of its own, as Pants kills the process group of a
program. Its stdin is a pipe that only the program holds open: whatever ends that, even SIGKILL, ends the pipe. What
comes through it is the container's id. It imports nothing of ours: the sandbox is removed before it ends.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

# The program may be gone while Docker still makes the container, or does not answer for a while.
_TRIES, _PAUSE_SECONDS = 60, 0.5


def await_end(descriptor: int, seconds: float) -> str:
    """Return what came through a pipe until it ended, or the time was over."""
    until = time.monotonic() + seconds
    received = b""
    while select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
        content = os.read(descriptor, 4096)
        if not content:
            break
        received += content
    return received.decode().strip()


def remove(name: str, container: str) -> None:
    """Remove a container by its id; by its name where no id is known, as it may yet be made."""
    for _ in range(_TRIES):
        result = subprocess.run(
            ["docker", "rm", "--force", "--volumes", container or name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if result.stdout.strip() or (container and b"No such container" in result.stderr):
            return
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    remove(sys.argv[1], await_end(sys.stdin.fileno(), float(sys.argv[2])))
