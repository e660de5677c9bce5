"""How indexes and pages of links are read without uv: before there is one, and to tell why it could not read them."""

from __future__ import annotations

import base64
import http.client
import os
import re
import ssl
import threading
import urllib.error
import urllib.request
from functools import partial
from typing import Any, BinaryIO, Optional
from urllib.parse import urlsplit

from slim_ray_image.core.wheels.uv_call import NetworkPlaces
from slim_ray_image.sandbox.tools.host_network import HostNetwork, read_host_network

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


class _KeptConnection:
    """Stands for a connection of the library's handlers, which make one for each request, and keeps it for the next.

    To make one takes longer than to fetch most wheels, and servers answer only so many in a time.
    """

    sock = None  # the handlers close what they find here

    def __init__(self, kept: dict[Any, Any], kind: Any, host: str, **arguments: Any) -> None:
        self._kept = kept
        self._place: Any = (kind, host)
        self._connect = partial(kind, host, **arguments)
        self._tunnel: Optional[tuple[str, Any]] = None
        self._response: Any = None

    def set_debuglevel(self, level: int) -> None:
        """Show nothing."""

    def set_tunnel(self, host: str, headers: Any = None) -> None:
        """Ask another host, through the proxy that this one is."""
        self._tunnel = (host, headers)
        self._place = (*self._place, host)

    def close(self) -> None:
        """Keep none."""
        self._kept.pop(self._place, None)

    def _ask(self, connection: Any, *request: Any) -> None:
        connection.request(*request)
        self._response = connection.getresponse()
        self._kept[self._place] = (connection, self._response)

    def request(self, method: str, url: str, body: Any, headers: Any, **_: Any) -> None:
        """Send a request without a body, and read the headers of the answer."""
        headers = {name: value for name, value in headers.items() if name.lower() != "connection"}
        connection, last = self._kept.pop(self._place, (None, None))
        # Of an answer that was not read to its end, the rest would be taken for the next answer.
        if last is not None and last.length == 0:
            try:
                return self._ask(connection, method, url, None, headers)
            except (OSError, http.client.HTTPException):  # the server had closed it
                connection.close()
        connection = self._connect()
        if self._tunnel:
            connection.set_tunnel(self._tunnel[0], headers=self._tunnel[1])
        return self._ask(connection, method, url, None, headers)

    def getresponse(self) -> Any:
        """Return the answer to the request."""
        return self._response


class _KeepAlive(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Keeps the connections of each thread."""

    def __init__(self, context: ssl.SSLContext) -> None:
        urllib.request.HTTPSHandler.__init__(self, context=context)
        self._of_thread = threading.local()

    def do_open(self, http_class: Any, req: Any, **http_conn_args: Any) -> Any:
        """Send a request by a connection that may be there already."""
        connection: Any = partial(_KeptConnection, self._of_thread.__dict__, http_class)
        return super().do_open(connection, req, **http_conn_args)


class IndexClient:
    """Opens URLs with Pants' certificates, credentials and proxies, and files of this machine."""

    def __init__(self, certificates: str, network: HostNetwork) -> None:
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            _ThroughProxies(network),
            _KeepAlive(network.tls_context(certificates)),
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
