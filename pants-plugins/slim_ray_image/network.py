"""Pants' network settings: package indexes, certificates, credentials and proxies.

Indexes and certificates are part of the cache key of each program that reads them. Credentials and proxies are in no
cache key, no argument and no file: `sandbox/tools/host_network.py` describes how a program reads them.
"""

from __future__ import annotations

import ctypes
import json
import logging
import netrc
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional

from pants.backend.python.subsystems.repos import PythonRepos
from pants.core.util_rules.subprocess_environment import SubprocessEnvironmentVars
from pants.engine.env_vars import EnvironmentVarsRequest
from pants.engine.fs import EMPTY_DIGEST, CreateDigest, Digest, FileContent
from pants.engine.rules import collect_rules
from pants.option.global_options import GlobalOptions

from slim_ray_image.compat import (
    create_digest,
    environment_vars_subset,
    implicitly,
    rule,
    uncacheable_rule,
)
from slim_ray_image.core.wheels.indexes import Credentials, host_of, split_credentials
from slim_ray_image.core.wheels.uv_call import NetworkPlaces
from slim_ray_image.sandbox.tools.host_network import MEMORY_FILE

logger = logging.getLogger(__name__)

_CERTIFICATES = "certificates.pem"
_CLOSE_ON_EXEC = 1  # MFD_CLOEXEC, https://man7.org/linux/man-pages/man2/memfd_create.2.html
# The variables of `[subprocess-environment].env_vars` that configure access to the network, in lower case.
_NETWORK_VARIABLES = frozenset(
    ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")
)


@dataclass(frozen=True)
class SharedHostNetwork:
    """Marker: the credentials and proxies are now where the programs of this session read them."""


@dataclass(frozen=True)
class NetworkSettings:
    """Package indexes and certificates of Pants' options, with a folder of the certificates for a sandbox."""

    places: NetworkPlaces
    tree: Digest  # the certificates, if there are any


def _create_memory_file() -> Optional[int]:
    """Return the descriptor of a new file in memory, without a name; None if the system has no such files, like macOS.

    A Python built with a glibc before 2.27, such as python-build-standalone's builds of 2025, lacks
    `os.memfd_create` although the system has the function.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(MEMORY_FILE)
    create = getattr(ctypes.CDLL(None, use_errno=True), "memfd_create", None)
    if create is None:
        return None
    descriptor: int = create(MEMORY_FILE.encode(), _CLOSE_ON_EXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


class _MemoryFile:
    """The file in this process's memory where programs read credentials and proxies; created by the first write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: Optional[int] = None

    def write(self, content: bytes) -> None:
        """Replace the file in memory at once: programs read either the old or the new content, never a part."""
        with self._lock:
            descriptor = _create_memory_file()
            if descriptor is None:  # Such a system cannot run a base image's interpreter either.
                return
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            if self._descriptor is None:
                self._descriptor = descriptor
            else:
                os.dup2(descriptor, self._descriptor, inheritable=False)
                os.close(descriptor)


_MEMORY_FILE = _MemoryFile()


def _read_netrc(environment: Mapping[str, str]) -> Optional[netrc.netrc]:
    """Return the user's netrc file, which pip and uv read too: https://everything.curl.dev/usingcurl/netrc.html."""
    default = os.path.join(environment.get("HOME", ""), ".netrc")
    path = environment.get("NETRC", default)
    if not os.path.isfile(path):
        return None
    try:
        return netrc.netrc(path)
    except (OSError, netrc.NetrcParseError) as error:
        logger.warning(f"Credentials in {path} are not used: {error}.")
        return None


def find_credentials(urls: Iterable[str], file: Optional[netrc.netrc]) -> dict[str, Credentials]:
    """Map each URL that has credentials, in itself or in a netrc file, to them; the URL is without its userinfo."""
    found = {}
    for url in urls:
        plain, credentials = split_credentials(url)
        host = host_of(plain)
        entry = file.authenticators(host) if file and host else None
        if not credentials and entry:
            credentials = (entry[0] or "", entry[2] or "")
        if credentials:
            found[plain] = credentials
    return found


@uncacheable_rule
async def share_host_network(
    python_repos: PythonRepos, subprocess_environment: SubprocessEnvironmentVars
) -> SharedHostNetwork:
    """Write credentials and proxies to the memory file that this session's programs read; runs in each session."""
    environment = await environment_vars_subset(
        EnvironmentVarsRequest(("HOME", "NETRC")), **implicitly()
    )
    urls = (*python_repos.indexes, *python_repos.find_links)
    held = {
        "credentials": sorted(find_credentials(urls, _read_netrc(environment)).items()),
        "environment": {
            name: value
            for name, value in subprocess_environment.vars.items()
            if name.lower() in _NETWORK_VARIABLES
        },
    }
    _MEMORY_FILE.write(json.dumps(held).encode())
    return SharedHostNetwork()


@rule
async def find_network_settings(
    python_repos: PythonRepos, global_options: GlobalOptions, _: SharedHostNetwork
) -> NetworkSettings:
    """Return the package indexes of `[python-repos]`, and the content (not the path) of `[GLOBAL].ca_certs_path`."""
    tree = EMPTY_DIGEST
    if global_options.ca_certs_path:
        content = Path(global_options.ca_certs_path).read_bytes()
        tree = await create_digest(CreateDigest([FileContent(_CERTIFICATES, content)]))
    places = NetworkPlaces(
        tuple(split_credentials(url)[0] for url in python_repos.indexes),
        tuple(split_credentials(url)[0] for url in python_repos.find_links),
        _CERTIFICATES if global_options.ca_certs_path else "",
    )
    return NetworkSettings(places, tree)


def rules() -> Iterable[Any]:
    return collect_rules()
