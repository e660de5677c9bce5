"""Tests of ./quickstart: the steps that it prints first, its question, and the commands that it prints last."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from conftest import Golden
from needs import needs

from setup.fresh_machine import FreshMachine

NAMED = "{'python:3.10-slim': 'oci:/srv/base:3.10-slim'}"
IMAGE = {
    "target": "src/services/echo:image",
    "manifest_digest": "sha256:0",
    "layers": [{"name": "sources", "compressed_bytes": 1, "unpacked_bytes": 2}],
    "totals": {"compressed_bytes": 1, "unpacked_bytes": 2},
    "requirements": [
        {"name": "ray", "version": "2.48.0", "extras": [], "required_by": ["import of ray"]}
    ],
    "files": [{"source": "src/services/echo/app.py", "reason": "the application"}],
}
# A replacement of ./pants that packages nothing, but writes an image.json like the real one.
PANTS = f"""#!/bin/sh
echo "$@" >>called
mkdir -p dist/src.services.echo/image
echo '{json.dumps(IMAGE)}' >dist/src.services.echo/image/image.json
"""
HAS_NO_REGISTRY = '#!/bin/sh\nfor url; do :; done\n[ "$url" != https://registry-1.docker.io/v2/ ]\n'


@pytest.fixture
def ready(machine: FreshMachine) -> FreshMachine:
    """A machine with a source for the base image, on which Pants packages nothing."""
    machine.settings["PANTS_SLIM_RAY_BASE_IMAGE_SOURCES"] = NAMED
    (machine.tree / "pants").write_text(PANTS)
    return machine


@pytest.fixture
def closed_off(ready: FreshMachine) -> FreshMachine:
    """A machine that reaches no registry, on which the stand-in base image would have to be built."""
    del ready.settings["PANTS_SLIM_RAY_BASE_IMAGE_SOURCES"]
    ready.install("curl", HAS_NO_REGISTRY)
    return ready


def calls(machine: FreshMachine) -> list[str]:
    """Return the arguments of each call of Pants."""
    called = machine.tree / "called"
    return called.read_text().splitlines() if called.exists() else []


def test_help_says_how_to_call_it(machine: FreshMachine) -> None:
    """`--help` prints the usage and the options."""
    run = machine.run("./quickstart", "--help")
    assert (run.exit_code, run.errors) == (0, "")
    assert run.output.startswith("Usage: ./quickstart [--yes]\n")
    assert "--yes" in run.output


def test_option_that_it_has_not_is_an_error(machine: FreshMachine) -> None:
    """An unknown option is an error."""
    run = machine.run("./quickstart", "--yess")
    assert run.exit_code == 1
    assert run.errors == (
        "The option --yess is not one of ./quickstart.\n\nTo fix, see `./quickstart --help`.\n"
    )


def test_steps_come_first_and_next_commands_last(ready: FreshMachine, golden: Golden) -> None:
    """The steps and their times are printed before the first step, and three next commands at the end."""
    run = ready.run("./quickstart")
    assert run.exit_code == 0, run.errors
    text = run.errors.replace(f"Fetching CPython {ready.archive.url_path}", "")
    golden.check("quickstart.txt", ready.neutral(text).rstrip("\n"))
    assert calls(ready) == ["--version", "package src/services/echo:image"]
    assert "ray 2.48.0: import of ray" in run.output


def test_named_base_image_needs_no_root_and_no_question(ready: FreshMachine) -> None:
    """If PANTS_SLIM_RAY_BASE_IMAGE_SOURCES is set, no program that changes the machine is run."""
    for program in ("sudo", "apt-get", "debootstrap", "chown"):
        ready.install(program, '#!/bin/sh\necho "$0 was run" >&2\n')
    output = in_terminal(ready, "", "./quickstart")
    assert "was run" not in output
    assert "[Y/n]" not in output
    assert "./pants check src/services/NAME:image" in output


@pytest.mark.parametrize("answer", ["n\n", "no\n", "\x04"], ids=["n", "no", "end of input"])
def test_refusal_stops_before_anything_is_done(closed_off: FreshMachine, answer: str) -> None:
    """The question names the packages to install; after a refusal, nothing is done and the alternatives are printed."""
    closed_off.install("apt-get", '#!/bin/sh\necho "$0 was run" >&2\n')
    closed_off.install("sudo", '#!/bin/sh\necho "$0 was run" >&2\n')
    output = in_terminal(closed_off, answer, "./quickstart")
    assert (
        "binutils gpgv util-linux wget; build-support/stand-in-base/build. Go on? [Y/n]" in output
    )
    assert "Stopped before anything was done." in output
    assert 'export PANTS_SLIM_RAY_BASE_IMAGE_SOURCES="{' in output
    assert "was run" not in output
    assert calls(closed_off) == []


@needs("root")
def test_no_way_to_root_is_an_error(closed_off: FreshMachine, golden: Golden) -> None:
    """Without a registry, root and sudo, the error comes before the set-up and lists the fixes."""
    for folder in (closed_off.folder, *closed_off.folder.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    process = subprocess.run(
        ["./quickstart", "--yes"],
        cwd=closed_off.tree,
        env=dict(closed_off.environment),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        user=65534,
        timeout=60,
    )
    assert process.returncode == 1
    error = process.stderr[process.stderr.index("No registry answers, and") :]
    # The list of packages depends on the machine that runs the tests.
    error = re.sub(r"apt-get install [^;]*; ", "", error)
    golden.check("errors/setup/setup-without-root.txt", error.rstrip("\n"))
    assert calls(closed_off) == []


def in_terminal(machine: FreshMachine, typed: str, *command: str) -> str:
    """Return the output of a command in a terminal; `typed` is the answer to its question."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=machine.tree,
        env=dict(machine.environment),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    output = b""
    has_typed = not typed
    while True:
        try:
            read = os.read(controller, 4096)
        except OSError:  # All processes with the terminal have ended.
            break
        if not read:
            break
        output += read
        if not has_typed and b"[Y/n]" in output:
            os.write(controller, typed.encode())
            has_typed = True
    process.wait(timeout=60)
    os.close(controller)
    return output.decode().replace("\r\n", "\n")
