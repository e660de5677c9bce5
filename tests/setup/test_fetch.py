"""Tests of build-support/pants/python.sh, which fetches a CPython by curl and tar, completely or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tarfile
import time

import pytest
from conftest import Golden
from needs import needs

from setup.fresh_machine import PROGRAMS, VERSION, FreshMachine, leftovers
from setup.tls_server import TlsServer


def assert_fetched(machine: FreshMachine) -> None:
    """Assert that the next call prints the path of a fetched CPython that works."""
    run = machine.find_python()
    assert run.output == f"{machine.fetched}/bin/python3.9\n", run.errors
    command = [run.output.strip(), "-I", "-c", "import ssl, sys; print(sys.version_info[:2])"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "(3, 9)\n"


def test_archive_is_fetched_from_a_directory_and_kept(machine: FreshMachine) -> None:
    """A CPython is fetched from a file:// mirror with the releases' directories; the second call uses the cache."""
    run = machine.find_python()
    assert run.exit_code == 0, run.errors
    assert f"Fetching CPython {VERSION} " in run.errors
    shutil.rmtree(machine.archive.folder)
    assert machine.find_python().errors == ""
    assert_fetched(machine)
    assert leftovers(machine) == []


@needs("openssl")
def test_archive_is_fetched_by_https(machine: FreshMachine, server: TlsServer) -> None:
    """Slashes at the end of the mirror's URL are ignored, and SSL_CERT_FILE names the trusted certificates."""
    machine.settings["SLIM_RAY_IMAGE_PYTHON_MIRROR"] += "//"
    assert_fetched(machine)


def test_python_of_the_machine_is_taken(machine: FreshMachine) -> None:
    """Nothing is fetched if PATH, pyenv or uv has a CPython of that version."""
    assert_fetched(machine)
    for folder in ("pyenv/versions/3.9.1", "uv/cpython-3.9.1-linux"):
        machine.settings["PYENV_ROOT"] = str(machine.folder / "pyenv")
        machine.settings["UV_PYTHON_INSTALL_DIR"] = str(machine.folder / "uv")
        shutil.copytree(machine.fetched, machine.folder / folder, symlinks=True)
        assert machine.find_python().output == f"{machine.folder / folder}/bin/python3.9\n"
        shutil.rmtree(machine.folder / folder)
    (machine.programs / "python3.9").symlink_to(machine.fetched / "bin/python3.9")
    assert machine.find_python().output == f"{machine.programs}/python3.9\n"


def test_other_hash_is_an_error(machine: FreshMachine, golden: Golden) -> None:
    """An archive with another hash than the pinned one is neither unpacked nor run."""
    machine.pin("0" * 64)
    run = machine.find_python()
    assert (run.exit_code, run.output) == (1, "")
    size = machine.archive.path.stat().st_size
    golden.check(
        "errors/setup/setup-other-hash.txt", machine.neutral(run.errors.replace(str(size), "BYTES"))
    )
    assert leftovers(machine) == []


def test_cut_archive_is_an_error(machine: FreshMachine) -> None:
    """A truncated archive in the mirror is an error that names its size."""
    os.truncate(machine.archive.path, 100_000)
    run = machine.find_python()
    assert run.exit_code == 1
    assert "(100000 bytes)" in run.errors
    assert run.errors.count("To fix,") == 1
    assert leftovers(machine) == []


@needs("openssl")
def test_cut_download_is_an_error(machine: FreshMachine, server: TlsServer) -> None:
    """If the connection closes before the end, the error has curl's message; the next call starts again."""
    server.cut_after = 100_000
    run = machine.find_python()
    assert run.exit_code == 1
    assert "\n  * curl: (18) " in run.errors
    assert run.errors.count("To fix,") == 1
    assert leftovers(machine) == []
    server.cut_after = None
    assert_fetched(machine)


def test_unreachable_host_is_an_error(machine: FreshMachine, golden: Golden) -> None:
    """The error has curl's reason, the places where a CPython was looked for, and all fixes."""
    machine.settings["SLIM_RAY_IMAGE_PYTHON_MIRROR"] = "https://mirror.invalid/releases"
    run = machine.find_python()
    assert (run.exit_code, run.output) == (1, "")
    golden.check("errors/setup/setup-unreachable-host.txt", machine.neutral(run.errors))
    assert leftovers(machine) == []


@needs("openssl")
def test_file_that_a_mirror_lacks_is_an_error(machine: FreshMachine, server: TlsServer) -> None:
    """The status 404 is an error with curl's message."""
    machine.archive.path.unlink()
    run = machine.find_python()
    assert run.exit_code == 1
    assert "\n  * curl: (22) The requested URL returned error: 404\n" in run.errors


@pytest.mark.parametrize("mirror", ["http://mirror.example.com/pbs", "/srv/pbs", "file://srv/pbs"])
def test_mirror_of_another_scheme_is_refused(
    machine: FreshMachine, golden: Golden, mirror: str
) -> None:
    """A mirror with plain HTTP, a bare path or a host in a file:// URL is refused."""
    machine.settings["SLIM_RAY_IMAGE_PYTHON_MIRROR"] = mirror
    run = machine.find_python()
    assert run.exit_code == 1
    assert f"but was '{mirror}'." in run.errors
    text = machine.neutral(run.errors.replace(mirror, "URL"))
    golden.check("errors/setup/setup-mirror-of-another-scheme.txt", text)


@needs("openssl")
def test_login_of_a_mirror_is_used_and_not_shown(machine: FreshMachine, server: TlsServer) -> None:
    """A login in the mirror's URL reaches the mirror, but no message and no argument of a program."""
    machine.settings["SLIM_RAY_IMAGE_PYTHON_MIRROR"] = f"https://robot:s3cret@{server.address}"
    curl = shutil.which("curl")
    log = machine.folder / "arguments"
    machine.install("curl", f'#!/bin/sh\necho "$@" >>{log}\nexec {curl} "$@"\n')
    machine.pin("0" * 64)
    run = machine.find_python()
    assert run.exit_code == 1
    assert server.logins == ["robot:s3cret"]
    assert f"https://***@{server.address}/" in run.errors
    assert "s3cret" not in run.errors + log.read_text()


@pytest.mark.parametrize("program", ["curl", "tar", "gzip"])
def test_missing_program_is_named(machine: FreshMachine, golden: Golden, program: str) -> None:
    """The error names the program and its package."""
    (machine.programs / program).unlink()
    run = machine.find_python()
    assert run.exit_code == 1
    assert f"without {program}, which" in run.errors
    text = machine.neutral(run.errors)
    if program == "curl":
        golden.check("errors/setup/setup-without-curl.txt", text)


def test_machine_without_an_archive_is_an_error(machine: FreshMachine, golden: Golden) -> None:
    """If no archive is pinned for the architecture, the error names it, and the other fixes."""
    machine.install("uname", '#!/bin/sh\ncase "$1" in -s) echo Linux ;; -m) echo riscv64 ;; esac\n')
    run = machine.find_python()
    assert run.exit_code == 1
    golden.check("errors/setup/setup-machine-without-an-archive.txt", machine.neutral(run.errors))


def test_python_that_does_not_run_is_an_error(machine: FreshMachine) -> None:
    """An archive whose CPython does not run here, because of its libc or architecture, is not kept."""
    info = tarfile.TarInfo("python/bin/python3.9")
    info.mode = 0o755
    with tarfile.open(machine.archive.path, "w:gz") as archive:
        archive.addfile(info)
    machine.pin(hashlib.sha256(machine.archive.path.read_bytes()).hexdigest())
    run = machine.find_python()
    assert (run.exit_code, run.output) == (1, "")
    assert "needs glibc 2.17 or newer.\n\n  * python3.9 does not run (exit code " in run.errors
    assert leftovers(machine) == []


def test_first_calls_at_once_all_succeed(machine: FreshMachine) -> None:
    """If several calls fetch at the same time, the first one renames its directory, and all calls use that one."""
    calls = [machine.start("build-support/pants/python.sh", "3.9") for _ in range(3)]
    outputs = {call.communicate()[0] for call in calls}
    assert outputs == {f"{machine.fetched}/bin/python3.9\n"}
    assert leftovers(machine) == []
    assert not (machine.fetched / "python").exists()


def test_damaged_python_is_replaced(machine: FreshMachine) -> None:
    """A CPython in the cache that no longer works is fetched again."""
    assert_fetched(machine)
    shutil.rmtree(machine.fetched / "lib/python3.9/encodings")
    assert_fetched(machine)
    assert leftovers(machine) == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
@needs("openssl")
def test_interrupted_fetch_is_repaired(machine: FreshMachine, server: TlsServer, name: str) -> None:
    """After a call was killed during its download, the next call fetches; only SIGKILL leaves files, for a day."""
    server.cut_after, server.is_stalling = 100_000, True
    call = machine.start("build-support/pants/python.sh", "3.9")
    assert server.was_asked.wait(60)
    os.killpg(call.pid, getattr(signal, name))
    call.communicate(timeout=60)
    assert call.returncode != 0
    left = leftovers(machine)
    assert len(left) == (1 if name == "SIGKILL" else 0)
    server.cut_after, server.is_stalling = None, False
    assert_fetched(machine)
    assert leftovers(machine) == left


def test_old_remains_are_removed(machine: FreshMachine) -> None:
    """A fetch removes leftovers of killed calls that are more than a day old; newer ones may be in use."""
    old, new = machine.pythons / ".partial.old", machine.pythons / ".partial.new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "archive").touch()
    before = time.time() - 2 * 24 * 3600
    os.utime(old, (before, before))
    assert_fetched(machine)
    assert leftovers(machine) == [new.name]


def test_no_program_of_python_is_used(machine: FreshMachine) -> None:
    """The machine of these tests has no Python, so the tests cannot pass by using one."""
    assert not [name for name in PROGRAMS if name.startswith("python")]
    run = machine.run("bash", "-c", "type -P python python3 python3.9 python3.10")
    assert (run.exit_code, run.output) == (1, "")
