"""What Pants was told of the network: indexes, certificates, credentials, proxies.

Indexes and certificates are part of the cache key of what reads them. Credentials and proxies are not, and are in no
argument and no file: `sandbox/tools/host_network.py` says how they get to a program.
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
# Of `[subprocess-environment].env_vars`, those that say how to reach the network.
_NETWORK_VARIABLES = frozenset(
    ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")
)


@dataclass(frozen=True)
class SharedHostNetwork:
    """Says that the programs of this session can read credentials and proxies."""


@dataclass(frozen=True)
class NetworkSettings:
    """Indexes and certificates that Pants was told of, and a folder for the sandbox of what reads them."""

    places: NetworkPlaces
    tree: Digest  # the certificates, where there are some


def _create_memory_file() -> Optional[int]:
    """Return the descriptor of a new file without a name; None where this system has none, such as macOS.

    A Python that was built with a glibc before 2.27 lacks the function, though the system has it: so do builds of
    python-build-standalone of 2025.
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
    """The one file in this process's memory that programs read; made when it is first written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: Optional[int] = None

    def write(self, content: bytes) -> None:
        """Put a new file in the place of the old, which programs can read until then: neither is ever there in part."""
        with self._lock:
            descriptor = _create_memory_file()
            if descriptor is None:  # a system where no base image can be run either
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
    """The user's netrc file, which pip and uv read too: https://everything.curl.dev/usingcurl/netrc.html."""
    default = os.path.join(environment.get("HOME", ""), ".netrc")
    path = environment.get("NETRC", default)
    if not os.path.isfile(path):
        return None
    try:
        return netrc.netrc(path)
    except (OSError, netrc.NetrcParseError) as error:
        logger.warning(f"Credentials of {path} are not used: {error}.")
        return None


def find_credentials(urls: Iterable[str], file: Optional[netrc.netrc]) -> dict[str, Credentials]:
    """Return URL without userinfo -> its credentials, from the URL itself or else from a netrc file."""
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
    """Hold credentials and proxies where this session's programs find them; run anew in each session."""
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
    """Indexes of `[python-repos]`, and the content (not the path) of `[GLOBAL].ca_certs_path`."""
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
