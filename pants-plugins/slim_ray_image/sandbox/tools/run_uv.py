"""How uv is called in a sandbox: nothing of the user's own configuration, Pants' indexes and certificates.

To resolve, uv first tries without the network: what is locked does not change, so what its cache holds is as good as
what an index says. Only when that does not do are the indexes asked. To install, it uses no cache: uv holds files
against their hashes when it fetches them, not when it takes them out of a cache. Credentials go by the environment,
never by arguments: https://docs.astral.sh/uv/concepts/authentication/http/.
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
    """No index, or not every one, could be read."""


def index_arguments(indexes: Sequence[str], find_links: Sequence[str]) -> list[str]:
    """Return the arguments for `[python-repos]`, all indexes alike as pip treats them: hashes say what is right.

    Args:
        find_links: Pages that are not named in the environment: to uv, those of arguments stand in their place.
    """
    arguments = ["--index-strategy", "unsafe-best-match"]
    for number, index in enumerate(indexes):
        # A name, by which uv finds the index's credentials in its environment.
        arguments += ["--index" if number else "--default-index", f"index{number}={index}"]
    if not indexes:
        arguments.append("--no-index")
    for place in find_links:
        arguments += ["--find-links", place]
    return arguments


def credentials_environment(
    indexes: Sequence[str], find_links: Sequence[str], network: HostNetwork
) -> dict[str, str]:
    """Return the variables by which uv logs in to those of the indexes and pages that want it.

    Where one page has a login, all of them are there: no argument may have it.
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
    """Return the lines of uv's error message without the drawing around them."""
    lines = (line.strip(" \u2570\u2500\u25b6\u00d7\u2502") for line in stderr.splitlines())
    return [line for line in lines if line]


def uv_environment(uv: UvCall) -> dict[str, str]:
    """Return uv's environment, but for the network's."""
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
    """Make an empty virtual environment of the Python that this runs on, and return its interpreter's path."""
    executable = os.path.abspath(uv.executable)
    run_tool(
        [executable, "venv", "--quiet", "--no-project", "--python", sys.executable, folder],
        uv_environment(uv),
    )
    return f"{folder}/bin/python"


def empty_cache(uv: UvCall) -> None:
    """Remove what uv has kept; another build that reads it meanwhile asks the indexes."""
    for entry in os.scandir(uv.cache):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with suppress(FileNotFoundError):
                os.unlink(entry.path)


def run_uv_pip(arguments: Sequence[str], uv: UvCall) -> subprocess.CompletedProcess[str]:
    """Run `uv pip`: wheels alone, from Pants' indexes. The caller reads the exit code.

    Args:
        arguments: What to do, as `install --target tools`.

    Raises:
        UnreadableIndexError: If it failed and an index cannot be read: to uv, one that refuses a login has nothing.
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
            "Distributions cannot be found, or fetched, since an index or a page of links cannot be read.",
            evidence=[*problems, *message_lines(result.stderr)],
            fixes=INDEX_FIXES,
        )
    return result


def install_locked(
    requirements: str, arguments: Sequence[str], uv: UvCall
) -> subprocess.CompletedProcess[str]:
    """Install hashed requirements and nothing else. `arguments` say where to; the rest is as for `run_uv_pip`."""
    locked = ("--no-deps", "--require-hashes", "--requirement", requirements)
    return run_uv_pip(("install", *arguments, *locked), uv)
