"""Which proxy a URL is asked through.

In: variables, such as `https_proxy`, in lower or upper case. Out: a proxy, or none. No standard has them; this follows
curl (https://everything.curl.dev/usingcurl/proxies/env.html), with subnets and this machine as Go treats them
(https://pkg.go.dev/golang.org/x/net/http/httpproxy).
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
    """A proxy that is spoken to over plain HTTP.

    Attributes:
        address: Its host and port.
        credentials: What it is logged in to with.
    """

    address: str
    credentials: Optional[Credentials] = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers for the proxy alone: basic authentication, https://datatracker.ietf.org/doc/html/rfc7617."""
        if not self.credentials:
            return {}
        token = base64.b64encode(":".join(self.credentials).encode()).decode()
        return {"Proxy-Authorization": f"Basic {token}"}


def _value(environment: Mapping[str, str], name: str) -> str:
    """Return a variable by its name in lower case, else in upper case; an empty one is as good as none."""
    return environment.get(name, environment.get(name.upper(), "")).strip()


def _named(environment: Mapping[str, str], scheme: str) -> tuple[str, str]:
    """Return the variable that says how to ask URLs of a scheme, and its value."""
    names = (f"{scheme}_proxy", "all_proxy")
    return next(((name, value) for name in names if (value := _value(environment, name))), ("", ""))


def _parse(name: str, value: str) -> Proxy:
    """Return the proxy that a variable names.

    Raises:
        ValueError: If it is no URL of a proxy. The error does not repeat the value, which can have a password.
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
    """Return an address, or a subnet, as a network."""
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _matches(entry: str, host: str, port: int) -> bool:
    """Tell if an entry of `no_proxy` is for a host: `*`, a domain, an address or a subnet, with or without a port."""
    network = _as_network(entry)
    if not network:  # perhaps with a port
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
    """Return the proxy to ask `url` through, or None to ask its host; this machine is asked by no proxy.

    Raises:
        ValueError: If the variable that is for `url` names no proxy that can be asked.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        return None
    name, value = _named(environment, parts.scheme)
    if not value or _is_direct(parts, _value(environment, "no_proxy")):
        return None
    return _parse(name, value)


def spell_out(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables by which every program takes the proxies that `find_proxy` takes.

    Programs differ in which case counts, in `all_proxy` and in whether this machine is asked directly.
    """
    proxies = {f"{scheme}_proxy": _named(environment, scheme)[1] for scheme in _SCHEMES}
    used = {name: value for name, value in proxies.items() if value}
    if not used:
        return {}
    no_proxy = _value(environment, "no_proxy")
    is_everything = "*" in re.split(r"[,\s]+", no_proxy)
    used["no_proxy"] = "*" if is_everything else f"{_THIS_MACHINE},{no_proxy}".rstrip(",")
    return used
