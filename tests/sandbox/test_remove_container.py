"""Tests of sandbox.smoke.remove_container: it removes the container however the program that started it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from slim_ray_image.sandbox.smoke import remove_container

# A program that starts the remover the way a smoke test does, sends it an id, and then hangs.
_STARTER = """\
import subprocess, sys, time
remover = subprocess.Popen(
    [sys.executable, "-c", open(sys.argv[1]).read(), "the-name", sys.argv[2]],
    stdin=subprocess.PIPE, start_new_session=True,
)
remover.stdin.write(sys.argv[3].encode())
remover.stdin.flush()
print(remover.pid, flush=True)
time.sleep(60)
"""
# A fake Docker that knows no container until the third call.
_DOCKER = """\
#!/bin/sh
echo "$@" >> "$0.calls"
[ "$(grep -c . "$0.calls")" -lt 3 ] || echo "$4"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a fake Docker first on PATH, and return the path of the file with its calls."""
    docker = tmp_path / "docker"
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "docker.calls"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Collect the programs that a test starts, and kill them at its end."""
    found: list[subprocess.Popen[str]] = []
    yield found
    for process in found:
        process.kill()
        process.communicate()


def start(
    started: list[subprocess.Popen[str]], container: str, seconds: float
) -> subprocess.Popen[str]:
    program = str(remove_container.__file__)
    process = subprocess.Popen(
        [sys.executable, "-c", _STARTER, program, str(seconds), container],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def await_calls(calls: Path, count: int) -> list[str]:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = calls.read_text().splitlines() if calls.exists() else []
        if len(found) >= count:
            time.sleep(1.5)  # time for a call too many
            return calls.read_text().splitlines()
        time.sleep(0.1)
    raise AssertionError("Docker was not asked.")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=str)
def test_container_goes_with_its_program(
    calls: Path, started: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    """If a program's process group is killed, the remover tries to remove the container by id until Docker confirms."""
    process = start(started, "the-id", 60)
    assert not calls.exists()
    os.killpg(process.pid, number)
    assert await_calls(calls, 3) == ["rm --force --volumes the-id"] * 3


def test_container_without_an_id_goes_by_its_name(
    calls: Path, started: list[subprocess.Popen[str]]
) -> None:
    """Without an id, since the program may end before Docker makes the container, it is removed by name."""
    os.killpg(start(started, "", 60).pid, signal.SIGKILL)
    assert await_calls(calls, 3) == ["rm --force --volumes the-name"] * 3


def test_container_goes_when_the_time_is_over(
    calls: Path, started: list[subprocess.Popen[str]]
) -> None:
    """The container of a program that hangs is removed after the time limit."""
    process = start(started, "the-id", 0.5)
    assert set(await_calls(calls, 3)) == {"rm --force --volumes the-id"}
    assert process.poll() is None
