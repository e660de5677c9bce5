"""How uv is called in a sandbox: nothing of the user's own configuration, Pants' indexes and certificates."""

from __future__ import annotations

import os
import subprocess
from typing import Any, Mapping, Sequence

from slim_ray_image.core.platforms import parse_platform, uv_python_platform

# A named cache of Pants, shared by every build on this machine.
UV_CACHE = ".uv-cache"


def index_arguments(indexes: Sequence[str], find_links: Sequence[str]) -> list[str]:
    """Return the arguments for `[python-repos]`, all indexes alike as pip treats them: hashes say what is right."""
    arguments = ["--index-strategy", "unsafe-best-match"]
    if indexes:
        arguments += ["--default-index", indexes[0]]
        for index in indexes[1:]:
            arguments += ["--index", index]
    else:
        arguments.append("--no-index")
    for place in find_links:
        arguments += ["--find-links", place]
    return arguments


def message_lines(stderr: str) -> list[str]:
    """Return the lines of uv's error message without the drawing around them."""
    lines = (line.strip(" \u2570\u2500\u25b6\u00d7\u2502") for line in stderr.splitlines())
    return [line for line in lines if line]


def uv_environment(certificates: str) -> dict[str, str]:
    """Return uv's whole environment.

    Args:
        certificates: A CA bundle in the sandbox, or "" for the system's.
    """
    environment = {
        "HOME": os.getcwd(),
        "PATH": "/usr/bin:/bin",
        "UV_CACHE_DIR": os.path.abspath(UV_CACHE),
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


def run_uv_pip(
    uv: str, arguments: Sequence[str], request: Mapping[str, Any]
) -> subprocess.CompletedProcess[str]:
    """Run `uv pip` for the base's platform: wheels alone, from Pants' indexes. The caller reads the exit code.

    Args:
        uv: Its executable.
        arguments: What to do, as `install --target tools`.
        request: `platform`, `glibc`, `indexes`, `find_links` and `certificates`.
    """
    platform = uv_python_platform(parse_platform(request["platform"]), request["glibc"])
    return subprocess.run(
        [
            *(os.path.abspath(uv), "pip", *arguments, "--quiet", "--only-binary", ":all:"),
            *("--python-platform", platform),
            *index_arguments(request["indexes"], request["find_links"]),
        ],
        env=uv_environment(request["certificates"]),
        capture_output=True,
        text=True,
        check=False,
    )


def install_locked(
    uv: str, requirements: str, arguments: Sequence[str], request: Mapping[str, Any]
) -> subprocess.CompletedProcess[str]:
    """Install hashed requirements and nothing else. `arguments` say where to; the rest is as for `run_uv_pip`."""
    locked = ("--no-deps", "--require-hashes", "--requirement", requirements)
    return run_uv_pip(uv, ("install", *arguments, *locked), request)
