"""Read package indexes and pages of links without uv: to fetch uv and wheels, and to explain failures of uv."""

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
    "check that `[python-repos].indexes` names a reachable index that has the distribution",
    "if TLS fails, name the CA bundle in `[GLOBAL].ca_certs_path`",
    "if a login fails, check the credentials in the index's URL or in ~/.netrc",
)


class _ThroughProxies(urllib.request.BaseHandler):
    """A handler of urllib that sends each HTTP request, including redirects, to the proxy for its URL, if any.

    The library's own handler supports neither `all_proxy` nor subnets, and sends the proxy's login to the target of a
    redirect.
    """

    handler_order = 100  # before the handlers that connect

    def __init__(self, network: HostNetwork) -> None:
        self._network = network

    def http_open(self, request: urllib.request.Request) -> None:
        """Set the proxy for the URL of an HTTP request, if there is one; another handler then sends the request."""
        proxy = self._network.proxy_for(request.full_url)
        if proxy:
            for name, value in proxy.headers.items():
                request.add_unredirected_header(name, value)
            request.set_proxy(proxy.address, "http")

    https_open = http_open


class _KeptConnection:
    """A replacement for an HTTP connection of urllib that keeps the real connection open for the next request.

    The handlers open a connection for each request. Opening one takes longer than fetching most wheels, and servers
    limit the rate of new connections.
    """

    sock = None  # the handlers would close a socket here

    def __init__(self, kept: dict[Any, Any], kind: Any, host: str, **arguments: Any) -> None:
        self._kept = kept
        self._place: Any = (kind, host)
        self._connect = partial(kind, host, **arguments)
        self._tunnel: Optional[tuple[str, Any]] = None
        self._response: Any = None

    def set_debuglevel(self, level: int) -> None:
        """Ignore the level for debug output of HTTP: nothing is printed."""

    def set_tunnel(self, host: str, headers: Any = None) -> None:
        """Send requests to `host` through the connection's own host, which is a proxy."""
        self._tunnel = (host, headers)
        self._place = (*self._place, host)

    def close(self) -> None:
        """Stop keeping the HTTP connection for the next request."""
        self._kept.pop(self._place, None)

    def _ask(self, connection: Any, *request: Any) -> None:
        connection.request(*request)
        self._response = connection.getresponse()
        self._kept[self._place] = (connection, self._response)

    def request(self, method: str, url: str, body: Any, headers: Any, **_: Any) -> None:
        """Send an HTTP request without a body, over a kept connection if possible, and read the response's headers."""
        headers = {name: value for name, value in headers.items() if name.lower() != "connection"}
        connection, last = self._kept.pop(self._place, (None, None))
        # If a response was not read to its end, the rest would be read as the next response.
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
        """Return the HTTP response to the last request."""
        return self._response


class _KeepAlive(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """A handler of urllib that keeps the HTTP connections of each thread open for later requests."""

    def __init__(self, context: ssl.SSLContext) -> None:
        urllib.request.HTTPSHandler.__init__(self, context=context)
        self._of_thread = threading.local()

    def do_open(self, http_class: Any, req: Any, **http_conn_args: Any) -> Any:
        """Send an HTTP request over a kept connection, or over a new one if there is none."""
        connection: Any = partial(_KeptConnection, self._of_thread.__dict__, http_class)
        return super().do_open(connection, req, **http_conn_args)


class IndexClient:
    """A client that opens file URLs, and http(s) URLs of indexes with Pants' certificates, credentials and proxies."""

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
        """Open a URL and return a stream of its content.

        Raises:
            OSError: If the server does not answer or answers with an error.
        """
        # Without compression, since the hash of a wheel is that of the file itself.
        headers = {"Accept": "text/html, */*;q=0.1", "Accept-Encoding": "identity"}
        request = urllib.request.Request(url, headers=headers)
        credentials = self._credentials.get(urlsplit(url).netloc)
        if credentials:
            token = base64.b64encode(":".join(credentials).encode()).decode()
            # An unredirected header is not sent to the target of a redirect.
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
    """Return a line for each package index and page of links that cannot be read, with the reason.

    The page requested from an index is uv's. The answer 404 is no problem: the index has no uv.
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
