"""Read an image from a registry: manifests and blobs, each checked against its digest.

Specification: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md ("Pull").
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Mapping, Optional
from urllib.parse import urlsplit

import requests
from dxf import DXF, DXFBase, exceptions
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from slim_ray_image.core.base.registry_request import RegistryPlace
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image.digests import check_digest, digest_error
from slim_ray_image.sandbox.tools.host_network import HostNetwork, read_host_network

_TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 1 << 20


def _authenticate(client: DXFBase, response: requests.Response) -> None:
    client.authenticate(response=response)  # an anonymous token


class _Adapter(requests.adapters.HTTPAdapter):
    """A transport adapter of the HTTP library `requests` that uses this host's proxies and CA certificates."""

    def __init__(self, network: HostNetwork, certificates: str) -> None:
        self._network = network
        self._context = network.tls_context(certificates, last_resort=DEFAULT_CA_BUNDLE_PATH)
        self._proxy_headers: dict[str, Mapping[str, str]] = {}
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)  # type: ignore[no-untyped-call]

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send one HTTP request, or one redirect, through the proxy for its URL, if there is one.

        Raises:
            requests.exceptions.ProxyError: If the proxy fails, rather than the registry. The message names the proxy.
        """
        url = str(request.url)
        try:
            proxy = self._network.proxy_for(url)
        except ValueError as error:
            raise requests.exceptions.ProxyError(str(error)) from error
        if proxy is None:
            return super().send(request, **{**options, "proxies": {}})
        place = f"http://{proxy.address}"
        self._proxy_headers[place] = proxy.headers
        try:
            response = super().send(
                request, **{**options, "proxies": {urlsplit(url).scheme: place}}
            )
        except requests.exceptions.ProxyError as error:
            raise requests.exceptions.ProxyError(
                f"the proxy {proxy.address}: {_reason(error)}"
            ) from error
        if response.status_code == requests.codes.proxy_authentication_required:
            raise requests.exceptions.ProxyError(
                f"the proxy {proxy.address}: {response.status_code} {response.reason}"
            )
        return response

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **options)  # type: ignore[no-untyped-call]

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the HTTP headers that log in to a proxy, since its URL here has no user and password."""
        return dict(self._proxy_headers[proxy])

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the TLS context verifies certificates; `requests` would also trust the ones bundled with it."""


class _Client(DXF):
    """A client of an image registry that ignores the user's netrc file and environment variables.

    Otherwise a login from ~/.netrc would be sent to the registry and to its token server, in place of tokens.
    """

    def __init__(self, place: RegistryPlace, network: HostNetwork) -> None:
        super().__init__(
            place.host,
            place.repository,
            auth=None if place.plain_http else _authenticate,
            insecure=place.plain_http,
            timeout=_TIMEOUT_SECONDS,
        )
        self._adapter = _Adapter(network, place.certificates)

    def __enter__(self) -> _Client:
        super().__enter__()
        session = self._sessions[
            0
        ]  # sends every request, including redirects and requests for tokens
        assert isinstance(session, requests.Session)
        session.trust_env = False
        session.mount("https://", self._adapter)
        session.mount("http://", self._adapter)
        return self


def _reason(error: BaseException) -> str:
    """Return why a connection failed: the message of the operating system or the proxy, else the text of `error`."""
    cause: Optional[BaseException] = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if type(cause) is OSError:  # http.client raises this for a proxy's answer to CONNECT
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error)


def _denied(place: RegistryPlace, answer: str) -> SlimRayImageError:
    return SlimRayImageError(
        f"The base image {place.reference} cannot be read: {place.host} answered {answer}.",
        fixes=[
            "use an image that can be pulled without logging in",
            "copy it to a registry or an OCI image layout that you can read, and name that in "
            "`[slim-ray].base_image_sources`",
        ],
    )


def _refused(place: RegistryPlace, response: requests.Response) -> SlimRayImageError:
    """Return the user's error for a registry's HTTP response with an error status, by the status."""
    status = response.status_code
    if status == 404:
        return SlimRayImageError(
            f"The base image {place.reference} was not found.",
            evidence=[f"{place.scheme}://{place.host} answered 404 for {response.url}"],
            fixes=["correct the repository, tag or digest in `base_image`"],
        )
    answer = f"{status} {response.reason}"
    if status == 429 or status >= 500:
        return SlimRayImageError(
            f"The base image {place.reference} cannot be read: {place.host} answered {answer}.",
            fixes=[
                "try again later",
                "name a mirror or a local OCI image layout for it in `[slim-ray].base_image_sources`",
            ],
        )
    return _denied(place, answer)


def _no_proxy(place: RegistryPlace, error: requests.exceptions.ProxyError) -> SlimRayImageError:
    return SlimRayImageError(
        f"The base image {place.reference} cannot be read: the proxy for {place.host} failed or is set wrongly.",
        evidence=[str(error)],
        fixes=[
            "correct the proxy, or its user and password, in the variable that "
            "`[subprocess-environment].env_vars` passes on",
            f"name {place.host} in `no_proxy`, if it is reached without a proxy",
        ],
    )


def _no_answer(place: RegistryPlace, error: requests.RequestException) -> SlimRayImageError:
    is_tls = isinstance(error, requests.exceptions.SSLError)
    return SlimRayImageError(
        f"The base image {place.reference} cannot be read: {place.host} does not answer over {place.scheme}.",
        evidence=[_reason(error)],
        fixes=[
            "check the network and the registry's name in `base_image`",
            *(["name the CA bundle in `[GLOBAL].ca_certs_path`"] if is_tls else []),
            f"if {place.host} speaks plain HTTP, add it to `[slim-ray].insecure_registries`",
            "name a mirror or a local OCI image layout for it in `[slim-ray].base_image_sources`",
        ],
    )


@contextmanager
def _told_clearly(place: RegistryPlace) -> Iterator[None]:
    """Raise any failure of an image registry in the `with` block as a SlimRayImageError, with ways to fix it."""
    try:
        yield
    except requests.HTTPError as error:
        raise _refused(place, error.response) from error
    except (exceptions.DXFUnauthorizedError, exceptions.DXFAuthInsecureError) as error:
        raise _denied(place, "401 Unauthorized") from error
    except exceptions.DXFDigestMismatchError as error:
        raise digest_error(place.reference, error.expected, error.got, place.host) from error
    except requests.exceptions.ProxyError as error:
        raise _no_proxy(place, error) from error
    except requests.RequestException as error:
        raise _no_answer(place, error) from error


class Registry:
    """A connection to one repository of an image registry, to read manifests and blobs."""

    def __init__(self, place: RegistryPlace, client: DXF) -> None:
        self._place = place
        self._client = client

    def read_manifest(self, identifier: str) -> bytes:
        """Return the bytes of an image manifest or an image index, by its tag or digest.

        Raises:
            SlimRayImageError: If the registry does not send the manifest, or the content has another digest.
        """
        with _told_clearly(self._place):
            _, response = self._client.get_manifest_and_response(identifier)
        content: bytes = response.content
        if identifier.startswith("sha256:"):
            check_digest(self._place.reference, identifier, content, self._place.host)
        return content

    def read_blob(self, digest: str) -> Iterator[bytes]:
        """Yield the bytes of a blob, such as a layer, in chunks.

        Raises:
            SlimRayImageError: If the registry does not send the blob, or, after the last chunk, if the content has
                another digest.
        """
        with _told_clearly(self._place):
            chunks: Any = self._client.pull_blob(digest, chunk_size=_CHUNK_BYTES)
            yield from chunks


@contextmanager
def connect(place: RegistryPlace) -> Iterator[Registry]:
    """Yield a connection to a repository in an image registry, through this host's proxies and certificates."""
    with _Client(place, read_host_network()) as client:
        yield Registry(place, client)
