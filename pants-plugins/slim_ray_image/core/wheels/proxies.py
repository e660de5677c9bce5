"""Functions that choose the proxy for a URL by variables such as `https_proxy` and `no_proxy`.

In: variables such as `https_proxy`, in lower or upper case. Out: a proxy, or none. No standard defines these variables.
This module follows curl (https://everything.curl.dev/usingcurl/proxies/env.html), but treats subnets and this machine
as Go does (https://pkg.go.dev/golang.org/x/net/http/httpproxy).
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass
from typing import Mapping, Optional, Union
from urllib.parse import SplitResult, urlsplit

from slim_ray_image.core.wheels.indexes import Credentials, split_credentials

_SCHEMES = ("http", "https")
_THIS_MACHINE = "localhost,127.0.0.0/8,::1"


@dataclass(frozen=True)
class Proxy:
    """A network proxy that is reached over plain HTTP, with the credentials for it.

    Attributes:
        address: Host and port of the proxy.
        credentials: User and password for the proxy, if it needs them.
    """

    address: str
    credentials: Optional[Credentials] = None

    @property
    def headers(self) -> Mapping[str, str]:
        """HTTP headers for the proxy only: basic authentication, https://datatracker.ietf.org/doc/html/rfc7617."""
        if not self.credentials:
            return {}
        token = base64.b64encode(":".join(self.credentials).encode()).decode()
        return {"Proxy-Authorization": f"Basic {token}"}


def _value(environment: Mapping[str, str], name: str) -> str:
    """Return an environment variable's value, by the name in lower case, else in upper case; "" if neither is set."""
    return environment.get(name, environment.get(name.upper(), "")).strip()


def _named(environment: Mapping[str, str], scheme: str) -> tuple[str, str]:
    """Return name and value of the environment variable with the proxy for URLs of a scheme; twice "" if none."""
    names = (f"{scheme}_proxy", "all_proxy")
    return next(((name, value) for name in names if (value := _value(environment, name))), ("", ""))


def _parse(name: str, value: str) -> Proxy:
    """Return the proxy that the environment variable `name` sets to the URL `value`.

    Raises:
        ValueError: If `value` is not the URL of a proxy. The error omits the value, which can contain a password.
    """
    text = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(text)
        plain, credentials = split_credentials(text)
        port = parts.port or 80
        is_url = parts.scheme == "http" and parts.hostname and not re.search(r"\s", value)
        if is_url and plain.rstrip("/") == f"http://{parts.netloc.rpartition('@')[2]}":
            host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
            return Proxy(f"{host}:{port}", credentials)
    except ValueError:
        pass
    raise ValueError(
        f"the proxy of `{name}` is not of the form http://[USER:PASSWORD@]HOST[:PORT], where user and password are "
        "percent-encoded"
    )


def _as_network(text: str) -> Optional[Union[ipaddress.IPv4Network, ipaddress.IPv6Network]]:
    """Return an IP address or a subnet as a network; None for other texts."""
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of `no_proxy` matches a host.

    An entry is `*`, a domain, an address or a subnet, with or without a port.
    """
    network = _as_network(entry)
    if not network:  # The entry may end with a port.
        name, _, wanted_port = entry.rpartition(":")
        if wanted_port.isdecimal() and name:
            return int(wanted_port) == port and _matches(name, host, port)
    address = _as_network(host)
    if entry == "*":
        return True
    if network and address:
        return address.network_address in network
    domain = entry.lstrip("*").strip(".")
    return not (network or address) and bool(domain) and f".{host}".endswith(f".{domain}")


def _is_direct(parts: SplitResult, no_proxy: str) -> bool:
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    entries = re.split(r"[,\s]+", f"{_THIS_MACHINE},{no_proxy}".lower())
    return any(_matches(entry, host, port) for entry in entries if entry)


def find_proxy(url: str, environment: Mapping[str, str]) -> Optional[Proxy]:
    """Return the proxy that variables set for requests to `url`; None for direct requests, such as to this machine.

    Raises:
        ValueError: If the variable that applies to `url` does not contain the URL of an HTTP proxy.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        return None
    name, value = _named(environment, parts.scheme)
    if not value or _is_direct(parts, _value(environment, "no_proxy")):
        return None
    return _parse(name, value)


def spell_out(environment: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables with which every program uses the same proxies as this module.

    Programs differ in three points: the case of the variables that they read, their treatment of `all_proxy`, and
    whether they use a proxy for requests to this machine.
    """
    proxies = {f"{scheme}_proxy": _named(environment, scheme)[1] for scheme in _SCHEMES}
    used = {name: value for name, value in proxies.items() if value}
    if not used:
        return {}
    no_proxy = _value(environment, "no_proxy")
    is_everything = "*" in re.split(r"[,\s]+", no_proxy)
    used["no_proxy"] = "*" if is_everything else f"{_THIS_MACHINE},{no_proxy}".rstrip(",")
    return used
