"""Tests of sandbox.tools.host_network with real processes and a real memory file."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import PYTHONPATH
from needs import AS_FIRST_PROCESS, needs

from slim_ray_image.sandbox.tools.host_network import MEMORY_FILE

HELD = {
    "credentials": [["https://a.example/simple/", ["robot", "s3cret"]]],
    "environment": {"https_proxy": "http://proxy.example:3128"},
}
READ = """\
from slim_ray_image.sandbox.tools.host_network import read_host_network
found = read_host_network()
print(dict(found.credentials), dict(found.environment))
"""
# A program that, like Pants, holds a memory file and starts another program.
HOLD = """\
import ctypes, os, subprocess, sys
name, content, *arguments = sys.argv[1:]
os.write(ctypes.CDLL(None).memfd_create(name.encode(), 1), content.encode())
subprocess.run([sys.executable, *arguments], check=True)
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
# A program that starts another: there may be processes between the holder and the reader.
NESTED = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
# Prints the descriptors that a program inherits besides its standard streams.
DESCRIPTORS = "import os; print([d for d in range(3, 64) if os.path.exists(f'/proc/self/fd/{d}')])"


def output_of(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        env={"PYTHONPATH": PYTHONPATH},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


def output_below_holder(*arguments: str) -> str:
    return output_of("-c", HOLD, MEMORY_FILE, json.dumps(HELD), *arguments)


@pytest.mark.parametrize("arguments", [("-c", READ), ("-c", NESTED, READ)], ids=["child", "nested"])
def test_program_reads_what_a_process_above_it_holds(arguments: tuple[str, ...]) -> None:
    """A program finds the memory file of an ancestor without an argument or variable."""
    expected = "{'https://a.example/simple/': ('robot', 's3cret')} {'https_proxy': 'http://proxy.example:3128'}"
    assert output_below_holder(*arguments) == expected


@needs("namespaces")
@pytest.mark.parametrize("arguments", [("-c", READ), ("-c", NESTED, READ)], ids=["child", "nested"])
def test_holder_can_be_process_1(arguments: tuple[str, ...]) -> None:
    """The holder can be process 1, such as Pants without its daemon in a container."""
    result = subprocess.run(
        [*AS_FIRST_PROCESS, sys.executable, "-c", HOLD, MEMORY_FILE, json.dumps(HELD), *arguments],
        env={"PYTHONPATH": PYTHONPATH, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert "'https_proxy': 'http://proxy.example:3128'" in result.stdout


@pytest.mark.parametrize("content", ["", "[", '{"credentials": [["https'])
def test_file_that_is_not_whole_is_passed_over(content: str) -> None:
    """An incomplete memory file is ignored, and the complete one beside it is read."""
    arguments = ("-c", HOLD, MEMORY_FILE, content, "-c", READ)
    both = ("-c", HOLD, MEMORY_FILE, json.dumps(HELD), *arguments)
    assert "http://proxy.example:3128" in output_of(*both)
    create = f"ctypes.CDLL(None).memfd_create({MEMORY_FILE.encode()!r}, 1)"
    beside = f"import ctypes, os; os.write({create}, {content!r}.encode())\n"
    assert "http://proxy.example:3128" in output_of(
        "-c", beside + HOLD, MEMORY_FILE, json.dumps(HELD), "-c", READ
    )


def test_program_is_not_given_the_descriptor() -> None:
    """A program does not inherit the holder's descriptor of the memory file."""
    assert output_below_holder("-c", DESCRIPTORS) == "[]"


def test_program_without_such_a_process_reads_nothing() -> None:
    """A program that is started by hand has empty network settings, without an error."""
    assert output_of("-c", ORPHAN + READ) == "{} {}"
