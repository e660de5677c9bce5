"""Run uv in a sandbox: without the user's own configuration, with Pants' indexes and certificates.

To resolve, uv first runs without the network: locked versions do not change, so metadata in uv's cache is as good as an
index's. Only if that fails does uv read the indexes. To install, uv uses no cache, since uv checks the hash of a file
that it fetches but not of a cached one. Credentials are passed in the environment, never in arguments:
https://docs.astral.sh/uv/concepts/authentication/http/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import Sequence

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.platforms import parse_platform, uv_python_platform
from slim_ray_image.core.wheels.indexes import join_credentials
from slim_ray_image.core.wheels.uv_call import UvCall
from slim_ray_image.sandbox.report import raise_if_disk_is_full, run_tool
from slim_ray_image.sandbox.tools.host_network import HostNetwork, read_host_network
from slim_ray_image.sandbox.tools.index_client import INDEX_FIXES, index_problems


class UnreadableIndexError(SlimRayImageError):
    """At least one package index or page of links could not be read."""


def index_arguments(indexes: Sequence[str], find_links: Sequence[str]) -> list[str]:
    """Return the arguments that name the indexes and pages of links of `[python-repos]` to uv.

    All indexes have the same priority, as in pip. That is safe because hashes are checked.

    Args:
        find_links: Pages of links. Empty if the environment names them: arguments would override the environment.
    """
    arguments = ["--index-strategy", "unsafe-best-match"]
    for number, index in enumerate(indexes):
        # By the name before "=", uv finds the index's credentials in its environment.
        arguments += ["--index" if number else "--default-index", f"index{number}={index}"]
    if not indexes:
        arguments.append("--no-index")
    for place in find_links:
        arguments += ["--find-links", place]
    return arguments


def credentials_environment(
    indexes: Sequence[str], find_links: Sequence[str], network: HostNetwork
) -> dict[str, str]:
    """Return the environment variables with which uv logs in to indexes and pages of links that need a login.

    If any page has a login, `UV_FIND_LINKS` names all pages, since a login must not be in an argument.
    """
    environment = {}
    for number, index in enumerate(indexes):
        if index in network.credentials:
            user, password = network.credentials[index]
            environment[f"UV_INDEX_INDEX{number}_USERNAME"] = user
            environment[f"UV_INDEX_INDEX{number}_PASSWORD"] = password
    known = network.credentials
    if any(page in known for page in find_links):
        pages = (join_credentials(p, known[p]) if p in known else p for p in find_links)
        environment["UV_FIND_LINKS"] = ",".join(pages)
    return environment


def message_lines(stderr: str) -> list[str]:
    """Return the non-empty lines of uv's error message, without the box-drawing characters around them."""
    lines = (line.strip(" \u2570\u2500\u25b6\u00d7\u2502") for line in stderr.splitlines())
    return [line for line in lines if line]


def uv_environment(uv: UvCall) -> dict[str, str]:
    """Return the environment variables for uv, except those for proxies and credentials."""
    certificates = uv.places.certificates
    environment = {
        "HOME": os.getcwd(),
        "PATH": "/usr/bin:/bin",
        "UV_CACHE_DIR": os.path.abspath(uv.cache),
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
        "UV_NATIVE_TLS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_LINK_MODE": "copy",
        "SLIM_RAY_IMAGE_BASE_ROOT": os.environ.get("SLIM_RAY_IMAGE_BASE_ROOT", ""),
    }
    if certificates:
        environment["SSL_CERT_FILE"] = os.path.abspath(certificates)
    return environment


def make_environment(folder: str, uv: UvCall) -> str:
    """Create an empty virtual environment of the Python that runs this program, and return its interpreter's path."""
    executable = os.path.abspath(uv.executable)
    run_tool(
        [executable, "venv", "--quiet", "--no-project", "--python", sys.executable, folder],
        uv_environment(uv),
    )
    return f"{folder}/bin/python"


def empty_cache(uv: UvCall) -> None:
    """Remove the content of uv's cache. A build that uses the cache meanwhile reads the indexes instead."""
    for entry in os.scandir(uv.cache):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with suppress(FileNotFoundError):
                os.unlink(entry.path)


def run_uv_pip(arguments: Sequence[str], uv: UvCall) -> subprocess.CompletedProcess[str]:
    """Run a subcommand of `uv pip` with Pants' indexes and, by default, only wheels. The caller checks the exit code.

    Args:
        arguments: Subcommand and options, such as `install --target tools`.

    Raises:
        UnreadableIndexError: If uv failed and an index cannot be read: uv treats one that refuses a login as empty.
        OSError: If the disk is full.
    """
    places, network = uv.places, read_host_network()
    logins = credentials_environment(places.indexes, places.find_links, network)
    pages = () if "UV_FIND_LINKS" in logins else places.find_links
    command = [
        *(os.path.abspath(uv.executable), "pip", *arguments, "--quiet", "--only-binary", ":all:"),
        *index_arguments(places.indexes, pages),
    ]
    if uv.platform and uv.glibc:
        platform = uv_python_platform(parse_platform(uv.platform), uv.glibc)
        command += ["--python-platform", platform]
    environment = {
        **network.tool_environment(places.certificates),
        **uv_environment(uv),
        **logins,
    }
    for tried in (("--no-cache",),) if arguments[0] == "install" else (("--offline",), ()):
        result = subprocess.run(
            [*command, *tried], env=environment, capture_output=True, text=True, check=False
        )
        if result.returncode == 0:
            return result
        raise_if_disk_is_full(result.stderr)
    problems = index_problems(places)
    if problems:
        raise UnreadableIndexError(
            "Cannot find or fetch distributions: an index or a page of links cannot be read.",
            evidence=[*problems, *message_lines(result.stderr)],
            fixes=INDEX_FIXES,
        )
    return result


def install_locked(
    requirements: str, arguments: Sequence[str], uv: UvCall
) -> subprocess.CompletedProcess[str]:
    """Install exactly the distributions that a requirements file pins with hashes. The caller checks the exit code.

    Args:
        requirements: Path of the requirements file.
        arguments: Options of `uv pip install`, such as `--target tools`.

    Raises:
        UnreadableIndexError: If uv failed and an index cannot be read.
        OSError: If the disk is full.
    """
    locked = ("--no-deps", "--require-hashes", "--requirement", requirements)
    return run_uv_pip(("install", *arguments, *locked), uv)
