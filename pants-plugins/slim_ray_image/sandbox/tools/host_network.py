"""Reads credentials, proxies and CA certificates, with which programs reach the network, from Pants' memory.

A program must leave no trace of credentials and proxies.

Everything else that a program receives (arguments, environment, input files) is part of its cache key, and Pants stores
cache keys on disk and sends them to remote caches. So Pants keeps credentials and proxies in its own memory, in an
unnamed file (https://man7.org/linux/man-pages/man2/memfd_create.2.html). The programs that Pants starts read this file
through /proc/PID/fd, which only the same user can open.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from dataclasses import dataclass, field
from typing import Iterator, Mapping, Optional

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.proxies import Proxy, find_proxy, spell_out

MEMORY_FILE = "slim-ray-image-network"
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
# Paths of CA bundles on Linux distributions, for a Python that was built elsewhere and has no default path that exists.
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class HostNetwork:
    """Settings with which programs reach the network: credentials, and variables that name proxies and certificates.

    Attributes:
        credentials: URL of an index or a page of links, without userinfo -> user and password.
        environment: Variables of `[subprocess-environment]`, such as `https_proxy` and `SSL_CERT_FILE`.
    """

    credentials: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def proxy_for(self, url: str) -> Optional[Proxy]:
        """Return the proxy for `url`, or None to connect to its host directly.

        Raises:
            ValueError: If the proxy variable that applies to `url` has no valid proxy.
        """
        return find_proxy(url, self.environment)

    def tls_context(self, certificates: str, last_resort: str = "") -> ssl.SSLContext:
        """Return a TLS context that trusts the CA bundle that the user named, else the host's, else `last_resort`.

        Args:
            certificates: Path in the sandbox of the CA bundle of `[GLOBAL].ca_certs_path`, or "". Without it, the
                context trusts `SSL_CERT_FILE` and `SSL_CERT_DIR` if they name existing paths, else the host's bundle.
            last_resort: Path of a CA bundle to trust if the host has none.

        Raises:
            SlimRayImageError: If a bundle that the user named has no certificates.
        """
        if certificates:
            return _context("`[GLOBAL].ca_certs_path`", certificates, "")
        named = {name: self.environment.get(name, "") for name in _CERTIFICATE_VARIABLES}
        file, directory = named["SSL_CERT_FILE"], named["SSL_CERT_DIR"]
        file = file if os.path.isfile(file) else ""
        directory = directory if any(map(os.path.isdir, directory.split(os.pathsep))) else ""
        if file or directory:
            return _context("`SSL_CERT_FILE` of `[subprocess-environment]`", file, directory)
        default = ssl.get_default_verify_paths()
        if default.cafile or default.capath:
            return ssl.create_default_context()
        bundle = next((path for path in _CA_BUNDLES if os.path.exists(path)), last_resort)
        return ssl.create_default_context(cafile=bundle or None)

    def tool_environment(self, certificates: str) -> dict[str, str]:
        """Return the environment variables that make a tool, such as uv, use the same proxies and CA certificates."""
        trusted = {} if certificates else self.environment
        return {
            **spell_out(self.environment),
            **{name: trusted[name] for name in _CERTIFICATE_VARIABLES if name in trusted},
        }


def _context(option: str, file: str, directory: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    except OSError as error:  # includes ssl.SSLError
        raise SlimRayImageError(
            f"The CA bundle of {option} cannot be read.",
            evidence=[f"{file or directory}: {getattr(error, 'reason', None) or error.strerror}"],
            fixes=[f"name a file of certificates in PEM form in {option}"],
        ) from error


def _ancestors() -> Iterator[int]:
    """Yield the ids of this process's ancestors, nearest first. The last is process 1: Pants, in some containers."""
    pid = os.getppid()
    while pid:
        yield pid
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            parent = re.search(r"^PPid:\s*(\d+)", file.read(), re.MULTILINE)
        pid = int(parent[1]) if parent else 0


def _is_memory_file(path: str) -> bool:
    return os.readlink(path).startswith(f"/memfd:{MEMORY_FILE} ")


def _descriptors_of(pid: int) -> list[str]:
    """Return the /proc paths of a process's open files; empty for a process of another user."""
    folder = f"/proc/{pid}/fd"
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]
    except PermissionError:
        return []


def _read(path: str) -> Optional[HostNetwork]:
    """Return the network settings in a process's open file; None unless the file is Pants' memory file and complete.

    If a file is incomplete, or is closed meanwhile, the process has another memory file that is complete.
    """
    try:
        if not _is_memory_file(path):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, encoding="utf-8") as file:
            if not _is_memory_file(
                f"/proc/self/fd/{descriptor}"
            ):  # closed, and its number used again
                return None
            held = json.load(file)
    except (OSError, ValueError):
        return None
    credentials = {url: (pair[0], pair[1]) for url, pair in held["credentials"]}
    return HostNetwork(credentials, held["environment"])


def read_host_network() -> HostNetwork:
    """Return the network settings of the Pants process that started this program; empty settings if none has any."""
    try:
        for pid in _ancestors():
            for path in _descriptors_of(pid):
                found = _read(path)
                if found:
                    return found
    except OSError:  # no /proc, or a process above has ended
        pass
    return HostNetwork()
