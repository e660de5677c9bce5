"""Tests of sandbox.host_network with real processes and a real file in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Iterator

import pytest
from conftest import PYTHONPATH

from slim_ray_image.sandbox.host_network import MEMORY_FILE

HELD = {
    "credentials": [["https://a.example/simple/", ["robot", "s3cret"]]],
    "environment": {"https_proxy": "http://proxy.example:3128"},
}
READ = """\
from slim_ray_image.sandbox.host_network import read_host_network
found = read_host_network()
print(dict(found.credentials), dict(found.environment))
"""
# Pants runs these tests, and holds such a file: so this one leaves the processes below it first.
ORPHAN = """\
import os, time
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
"""
# A program of a program: between the one that holds and the one that reads there may be others.
NESTED = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="this system has no files in memory"
)


def read_in_child(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        env={"PYTHONPATH": PYTHONPATH},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.fixture
def held() -> Iterator[int]:
    """The descriptor of a file in this process's memory, as Pants makes it."""
    descriptor = os.memfd_create(MEMORY_FILE)
    os.write(descriptor, json.dumps(HELD).encode())
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("arguments", [("-c", READ), ("-c", NESTED, READ)], ids=["child", "nested"])
def test_program_reads_what_a_process_above_it_holds(held: int, arguments: tuple[str, ...]) -> None:
    """Nothing is passed to the program: it finds the file by itself."""
    expected = "{'https://a.example/simple/': ('robot', 's3cret')} {'https_proxy': 'http://proxy.example:3128'}"
    assert read_in_child(*arguments) == expected


def test_program_is_not_given_the_descriptor(held: int) -> None:
    """The file is closed in programs that this process starts."""
    assert not os.get_inheritable(held)


def test_program_without_such_a_process_reads_nothing() -> None:
    """A program started by hand has no credentials, and that is no error."""
    assert read_in_child("-c", ORPHAN + READ) == "{} {}"
