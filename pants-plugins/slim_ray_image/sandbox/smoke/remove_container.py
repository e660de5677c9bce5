"""Removes a smoke test's container as soon as the program that started it is gone, or the test's time is over.

A smoke test starts this program as `python -c TEXT NAME SECONDS`, in a session of its own, because Pants kills the
process group of a smoke test. Its stdin is a pipe that only the smoke test holds open: when the smoke test ends, even
by SIGKILL, the pipe ends. The smoke test writes the container's id to the pipe. This program imports no module of the
plugin: Pants removes the sandbox before this program ends.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

# When the smoke test is gone, Docker may still be making the container, or may not answer for a while.
_TRIES, _PAUSE_SECONDS = 60, 0.5


def await_end(descriptor: int, seconds: float) -> str:
    """Return the text that came through a pipe until the pipe ended or the time was over."""
    until = time.monotonic() + seconds
    received = b""
    while select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
        content = os.read(descriptor, 4096)
        if not content:
            break
        received += content
    return received.decode().strip()


def remove(name: str, container: str) -> None:
    """Remove a Docker container by id, or by name if no id is known; retry, since Docker may still be making it."""
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
