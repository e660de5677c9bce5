"""Tests of ./pants: the CPythons and the compiler that its set-up looks for, and the PATH that Pants gets."""

from __future__ import annotations

import hashlib
import platform
import subprocess

import pytest
from conftest import Golden

from setup.fresh_machine import FreshMachine

# A CPython that passes the checks of the launcher and fails at everything else, so that the set-up ends with it.
UNHELPFUL_PYTHON = """#!/bin/sh
case "$*" in *ensurepip*) echo usable ;; *fcntl*) ;; *) exit 3 ;; esac
"""


def finish_set_up(machine: FreshMachine) -> None:
    """Create the environment of a finished set-up, with a Python that prints PATH."""
    locks = machine.tree / "build-support/pants"
    hashes = [
        hashlib.sha256((locks / name).read_bytes()).hexdigest()[:16]
        for name in ("pants.lock", "pex-cli.lock")
    ]
    folder = machine.folder / f"cache/pants/1-{'-'.join(hashes)}-cp39-{platform.machine()}"
    python = folder / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$PATH"\n')
    python.chmod(0o755)
    (folder / ".complete").write_text("2.17.1 2.1.137 0 0\n")


def test_fetched_pythons_are_behind_all_else_on_path(machine: FreshMachine) -> None:
    """Fetched CPythons and uv's are on PATH, where Pants looks for interpreters, after the machine's own programs."""
    finish_set_up(machine)
    assert machine.run("./pants").output == f"{machine.programs}\n"
    architecture = platform.machine()
    expected = [
        machine.pythons / f"3.10.99-{architecture}-0/bin",
        machine.pythons / f"3.9.99-{architecture}-0/bin",
        machine.folder / "home/.local/share/uv/python/cpython-3.10.1-linux/bin",
    ]
    others = [
        machine.pythons / ".partial.abc/python/bin",
        machine.pythons / "3.9.99-vax-0/bin",
        machine.folder / "home/.local/share/uv/python/cpython-3.12.1-linux/bin",
    ]
    for folder in expected + others:
        folder.mkdir(parents=True)
    path = ":".join(map(str, [machine.programs, *expected]))
    assert machine.run("./pants").output == f"{path}\n"


def test_launcher_without_its_folder_is_an_error(machine: FreshMachine) -> None:
    """If only the script was copied, the error names the folder that it needs."""
    (machine.tree / "build-support/pants/python.sh").unlink()
    run = machine.run("./pants", "--version")
    assert run.exit_code == 1
    assert run.errors == (
        "The directory ./build-support/pants, which ./pants needs, is missing or not whole.\n\n"
        "To fix, restore it from version control, or copy it to where you copied ./pants.\n"
    )


def test_later_calls_start_one_program(machine: FreshMachine) -> None:
    """A call that finds its environment starts only sha256sum before it becomes Pants."""
    finish_set_up(machine)
    for program in machine.programs.iterdir():
        if program.name not in {"bash", "env", "sha256sum"}:
            program.unlink()
    run = machine.run("./pants")
    assert (run.exit_code, run.errors) == (0, "")


def test_compiler_that_arm64_needs_is_named(machine: FreshMachine, golden: Golden) -> None:
    """On arm64 psutil is built, so a missing compiler is an error before anything is fetched."""
    machine.install("uname", '#!/bin/sh\ncase "$1" in -s) echo Linux ;; -m) echo aarch64 ;; esac\n')
    run = machine.run("./pants", "--version")
    assert (run.exit_code, run.output) == (1, "")
    golden.check("errors/setup/setup-arm64-without-a-compiler.txt", machine.neutral(run.errors))
    assert not machine.pythons.exists()


@pytest.mark.parametrize("compiler", ["cc", "gcc", "my-cc"])
def test_compiler_on_arm64_is_found(machine: FreshMachine, compiler: str) -> None:
    """A compiler on PATH is found, and so is one that CC names with options."""
    machine.install("uname", '#!/bin/sh\ncase "$1" in -s) echo Linux ;; -m) echo aarch64 ;; esac\n')
    machine.install(compiler, "#!/bin/sh\n")
    machine.install("python3.9", UNHELPFUL_PYTHON)
    if compiler == "my-cc":
        machine.settings["CC"] = "my-cc -pthread"
    run = machine.run("./pants", "--version")
    assert "needs a C compiler" not in run.errors
    assert "Installing build-support/pants/pants.lock with " in run.errors


def test_sources_are_built_by_the_compiler_of_the_machine(machine: FreshMachine) -> None:
    """A fetched CPython names clang, which built it; CC and LDSHARED give pip the compiler of the machine."""
    machine.install("cc", "#!/bin/sh\n")
    machine.install(
        "python3.9",
        """#!/bin/sh
case "$*" in
    *ensurepip*) echo usable ;;
    *fcntl*) ;;
    *'-m venv'*) mkdir -p venv/bin && cat "$0" >venv/bin/python && chmod 755 venv/bin/python ;;
    *) echo "$CC, $LDSHARED" >"$HOME/compiler"; exit 3 ;;
esac
""",
    )
    machine.run("./pants", "list")
    compiler = machine.programs / "cc"
    assert (machine.folder / "home/compiler").read_text() == f"{compiler}, {compiler} -shared\n"


def test_no_compiler_is_asked_for_on_other_machines(machine: FreshMachine) -> None:
    """On x86-64 every distribution has a wheel, so the set-up needs no compiler."""
    machine.install("python3.9", UNHELPFUL_PYTHON)
    machine.install("uname", '#!/bin/sh\ncase "$1" in -s) echo Linux ;; -m) echo x86_64 ;; esac\n')
    assert "Installing build-support/pants/pants.lock" in machine.run("./pants", "list").errors


def test_other_python_that_cannot_be_fetched_is_no_error(machine: FreshMachine) -> None:
    """Pants runs without a CPython 3.10, so the set-up names the missing version and the command, and continues."""
    machine.install("python3.9", UNHELPFUL_PYTHON)
    pins = machine.tree / "build-support/pants/pythons.txt"
    pins.write_text(pins.read_text() + pins.read_text().replace("3.9", "3.10"))
    run = machine.run("./pants", "list")
    assert "Cannot fetch CPython 3.10.99 from" in run.errors
    assert "    build-support/pants/python.sh 3.10\n" in run.errors
    assert "Installing build-support/pants/pants.lock with " in run.errors


def test_python_that_cannot_be_fetched_is_one_error(machine: FreshMachine) -> None:
    """Without a CPython for Pants, the set-up stops before it looks for other versions."""
    machine.archive.path.unlink()
    pins = machine.tree / "build-support/pants/pythons.txt"
    pins.write_text(pins.read_text().replace("3.9", "3.10") + pins.read_text())
    run = machine.run("./pants", "list")
    assert run.exit_code == 1
    assert run.errors.count("To fix,") == 1
    assert "Cannot fetch CPython 3.9.99 from" in run.errors


def test_environment_is_made_with_the_fetched_python(machine: FreshMachine) -> None:
    """With only the fetched CPython, the set-up creates an environment, and fails when it needs the package index."""
    machine.settings["PIP_INDEX_URL"] = (machine.folder / "no-index").as_uri()
    machine.settings["PIP_RETRIES"] = "0"
    run = machine.run("./pants", "list")
    assert run.exit_code == 1
    assert f"Installing build-support/pants/pants.lock with {machine.fetched}/bin/" in run.errors
    (pip,) = machine.folder.glob("cache/pants/*/venv/bin/pip")
    version = subprocess.run([pip, "--version"], capture_output=True, text=True)
    assert "(python 3.9)" in version.stdout, version.stderr
