"""How this host reaches the network, for every program: credentials, proxies and CA certificates.

A program must leave no trace of credentials and proxies.

All else that a program is given (arguments, environment, input files) is part of its cache key, and Pants keeps cache
keys on disk and sends them to remote caches. So Pants holds these in its own memory, in a file without a name
(https://man7.org/linux/man-pages/man2/memfd_create.2.html), and the programs that it starts read it there, through
/proc/PID/fd, which only the same user can.
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
# Where the CA bundles of Linux distributions are, for a Python that was built elsewhere and knows none.
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class HostNetwork:
    """How this host reaches the network.

    Attributes:
        credentials: URL of an index or a page of links, without userinfo -> user and password.
        environment: Variables of `[subprocess-environment]`, such as `https_proxy` and `SSL_CERT_FILE`.
    """

    credentials: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def proxy_for(self, url: str) -> Optional[Proxy]:
        """Return the proxy to ask `url` through, or None to ask its host.

        Raises:
            ValueError: If the variable that is for `url` names no proxy that can be asked.
        """
        return find_proxy(url, self.environment)

    def tls_context(self, certificates: str, last_resort: str = "") -> ssl.SSLContext:
        """Return which servers to trust.

        Args:
            certificates: The CA bundle of `[GLOBAL].ca_certs_path` in the sandbox, or "". Without it, `SSL_CERT_FILE`
                and `SSL_CERT_DIR` say whom to trust, where they name something; else the host's own bundle.
            last_resort: A CA bundle for a host that has none.

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
        """Return the variables by which a tool takes the proxies and certificates that this takes."""
        trusted = {} if certificates else self.environment
        return {
            **spell_out(self.environment),
            **{name: trusted[name] for name in _CERTIFICATE_VARIABLES if name in trusted},
        }


def _context(option: str, file: str, directory: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    except OSError as error:  # ssl.SSLError among them
        raise SlimRayImageError(
            f"The CA bundle of {option} cannot be read.",
            evidence=[f"{file or directory}: {getattr(error, 'reason', None) or error.strerror}"],
            fixes=[f"name a file of certificates in PEM form in {option}"],
        ) from error


def _ancestors() -> Iterator[int]:
    """The processes above this one, nearest first. The last is process 1, which in a container can be Pants."""
    pid = os.getppid()
    while pid:
        yield pid
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            parent = re.search(r"^PPid:\s*(\d+)", file.read(), re.MULTILINE)
        pid = int(parent[1]) if parent else 0


def _is_memory_file(path: str) -> bool:
    return os.readlink(path).startswith(f"/memfd:{MEMORY_FILE} ")


def _descriptors_of(pid: int) -> list[str]:
    """The open files of a process; none if it is another user's."""
    folder = f"/proc/{pid}/fd"
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]
    except PermissionError:
        return []


def _read(path: str) -> Optional[HostNetwork]:
    """Return what a process holds in an open file, if that is of ours and whole.

    One that is not whole, or that is closed meanwhile, takes the place of another, which is.
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
    """Return what the Pants that started this program holds; nothing where there is no such Pants."""
    try:
        for pid in _ancestors():
            for path in _descriptors_of(pid):
                found = _read(path)
                if found:
                    return found
    except OSError:  # no /proc, or a process above has ended
        pass
    return HostNetwork()
