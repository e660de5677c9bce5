"""How indexes and pages of links are read without uv: before there is one, and to tell why it could not read them."""

from __future__ import annotations

import base64
import os
import re
import ssl
import urllib.error
import urllib.request
from typing import Any, Mapping, Optional
from urllib.parse import urlsplit

from slim_ray_image.sandbox.host_network import HostNetwork, read_host_network

_TIMEOUT_SECONDS = 60
# Where the CA bundles of Linux distributions are, for a Python that was built elsewhere and knows none.
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
INDEX_FIXES = (
    "see that `[python-repos].indexes` names an index that answers and that has it",
    "where TLS fails, name the CA bundle in `[GLOBAL].ca_certs_path`",
    "where a login fails, see to the credentials in the index's URL, or in ~/.netrc",
)


class IndexClient:
    """Opens URLs with Pants' certificates, credentials and proxies, and files of this machine."""

    def __init__(self, certificates: str, network: HostNetwork) -> None:
        os.environ.update(network.environment)  # where urllib looks for proxies
        default = ssl.get_default_verify_paths()
        bundle: Optional[str] = certificates or None
        if not bundle and not (default.cafile or default.capath):
            bundle = next((path for path in _CA_BUNDLES if os.path.exists(path)), None)
        context = ssl.create_default_context(cafile=bundle)
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        self._credentials = {
            urlsplit(url).netloc: credentials for url, credentials in network.credentials.items()
        }

    def read(self, url: str) -> bytes:
        request = urllib.request.Request(url, headers={"Accept": "text/html, */*;q=0.1"})
        credentials = self._credentials.get(urlsplit(url).netloc)
        if credentials:
            token = base64.b64encode(":".join(credentials).encode()).decode()
            # Not sent on when the answer leads to another host.
            request.add_unredirected_header("Authorization", f"Basic {token}")
        with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            return response.read()


def as_url(place: str) -> str:
    return place if re.match(r"(https?|file):", place) else f"file://{os.path.abspath(place)}"


def reason_of(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answered {error.code} {error.reason}"
    return str(getattr(error, "reason", error))


def index_problems(request: Mapping[str, Any]) -> list[str]:
    """Return which of the request's `indexes` and `find_links` cannot be read, and why.

    An index that has no uv answers 404, and that is an answer.
    """
    client = IndexClient(request["certificates"], read_host_network())
    pages = {index: f"{index.rstrip('/')}/uv/" for index in request["indexes"]}
    pages.update((place, place) for place in request["find_links"] if place.startswith("http"))
    problems = []
    for place, page in pages.items():
        try:
            client.read(page)
        except (OSError, ValueError) as error:
            if not (isinstance(error, urllib.error.HTTPError) and error.code == 404):
                problems.append(f"{place} {reason_of(error)}")
    return problems
