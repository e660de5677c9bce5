"""Tests of sandbox.smoke.remove_container: the container goes whatever ends the program that started it."""

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

# A program that starts the remover as a smoke test does, tells it an id, and then hangs.
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
# Docker, that knows of no container until the third time it is asked.
_DOCKER = """\
#!/bin/sh
echo "$@" >> "$0.calls"
[ "$(grep -c . "$0.calls")" -lt 3 ] || echo "$4"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a Docker that stands in for the real one writes what it was asked."""
    docker = tmp_path / "docker"
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "docker.calls"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """The programs that a test started."""
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
            time.sleep(1.5)  # for one too many
            return calls.read_text().splitlines()
        time.sleep(0.1)
    raise AssertionError("Docker was not asked.")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=str)
def test_container_goes_with_its_program(
    calls: Path, started: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    """However the program's process group is ended, its container is removed, by its id, until Docker says so."""
    process = start(started, "the-id", 60)
    assert not calls.exists()
    os.killpg(process.pid, number)
    assert await_calls(calls, 3) == ["rm --force --volumes the-id"] * 3


def test_container_without_an_id_goes_by_its_name(
    calls: Path, started: list[subprocess.Popen[str]]
) -> None:
    """The program may be gone before Docker has made the container: its name is asked for until it is there."""
    os.killpg(start(started, "", 60).pid, signal.SIGKILL)
    assert await_calls(calls, 3) == ["rm --force --volumes the-name"] * 3


def test_container_goes_when_the_time_is_over(
    calls: Path, started: list[subprocess.Popen[str]]
) -> None:
    """A program that hangs keeps no container."""
    process = start(started, "the-id", 0.5)
    assert set(await_calls(calls, 3)) == {"rm --force --volumes the-id"}
    assert process.poll() is None
