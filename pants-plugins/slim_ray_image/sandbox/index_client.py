"""How indexes and pages of links are read without uv: before there is one, and to tell why it could not read them."""

from __future__ import annotations

import base64
import os
import re
import urllib.error
import urllib.request
from typing import BinaryIO
from urllib.parse import urlsplit

from slim_ray_image.core.uv_call import NetworkPlaces
from slim_ray_image.sandbox.host_network import HostNetwork, read_host_network

_TIMEOUT_SECONDS = 60
INDEX_FIXES = (
    "see that `[python-repos].indexes` names an index that answers and that has it",
    "where TLS fails, name the CA bundle in `[GLOBAL].ca_certs_path`",
    "where a login fails, see to the credentials in the index's URL, or in ~/.netrc",
)


class _ThroughProxies(urllib.request.BaseHandler):
    """Sends each request, those of redirects included, to the proxy that is for its URL.

    The library's own handler knows neither `all_proxy` nor subnets, and gives the proxy's login to a host that a
    redirect leads to.
    """

    handler_order = 100  # before the handlers that connect

    def __init__(self, network: HostNetwork) -> None:
        self._network = network

    def http_open(self, request: urllib.request.Request) -> None:
        """Choose; another handler then opens the request."""
        proxy = self._network.proxy_for(request.full_url)
        if proxy:
            for name, value in proxy.headers.items():
                request.add_unredirected_header(name, value)
            request.set_proxy(proxy.address, "http")

    https_open = http_open


class IndexClient:
    """Opens URLs with Pants' certificates, credentials and proxies, and files of this machine."""

    def __init__(self, certificates: str, network: HostNetwork) -> None:
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            _ThroughProxies(network),
            urllib.request.HTTPSHandler(context=network.tls_context(certificates)),
        )
        self._credentials = {
            urlsplit(url).netloc: credentials for url, credentials in network.credentials.items()
        }

    def read(self, url: str) -> bytes:
        with self.open(url) as response:
            return response.read()

    def open(self, url: str) -> BinaryIO:
        """Return what reads the content of a URL.

        Raises:
            OSError: If it does not answer, or not with a content.
        """
        # As it is: a server may not send a wheel in another encoding.
        headers = {"Accept": "text/html, */*;q=0.1", "Accept-Encoding": "identity"}
        request = urllib.request.Request(url, headers=headers)
        credentials = self._credentials.get(urlsplit(url).netloc)
        if credentials:
            token = base64.b64encode(":".join(credentials).encode()).decode()
            # Not sent on when the answer leads to another host.
            request.add_unredirected_header("Authorization", f"Basic {token}")
        response: BinaryIO = self._opener.open(request, timeout=_TIMEOUT_SECONDS)
        return response


def as_url(place: str) -> str:
    return place if re.match(r"(https?|file):", place) else f"file://{os.path.abspath(place)}"


def reason_of(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answered {error.code} {error.reason}"
    return str(getattr(error, "reason", error))


def index_problems(places: NetworkPlaces) -> list[str]:
    """Return which indexes and pages of links cannot be read, and why.

    An index that has no uv answers 404, and that is an answer.
    """
    client = IndexClient(places.certificates, read_host_network())
    pages = {index: f"{index.rstrip('/')}/uv/" for index in places.indexes}
    pages.update((place, place) for place in places.find_links if place.startswith("http"))
    problems = []
    for place, page in pages.items():
        try:
            client.read(page)
        except (OSError, ValueError) as error:
            if not (isinstance(error, urllib.error.HTTPError) and error.code == 404):
                problems.append(f"{place} {reason_of(error)}")
    return problems
