"""Reads an image from a registry: its manifest and config, or one blob. Every byte is checked against its digest.

Specification: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md ("Pull").
"""

from __future__ import annotations

import json
from typing import Any, Iterator, Mapping, Optional
from urllib.parse import urlsplit

import requests
from dxf import DXF, DXFBase, exceptions
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.oci import INDEX_MEDIA_TYPES, MANIFEST_MEDIA_TYPES, select_manifest, sha256
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.sandbox.host_network import HostNetwork, read_host_network
from slim_ray_image.sandbox.report import run_program

_TIMEOUT_SECONDS = 60


def _authenticate(client: DXFBase, response: requests.Response) -> None:
    client.authenticate(response=response)  # an anonymous token


class _Adapter(requests.adapters.HTTPAdapter):
    """How requests connects: through the proxies, and to whom, as this host's network says."""

    def __init__(self, network: HostNetwork, certificates: str) -> None:
        self._network = network
        self._context = network.tls_context(certificates, last_resort=DEFAULT_CA_BUNDLE_PATH)
        self._proxy_headers: dict[str, Mapping[str, str]] = {}
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send one request, that of a redirect too: each URL has a proxy of its own.

        Raises:
            requests.exceptions.ProxyError: If a proxy, not the registry, is what fails; it names the proxy.
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
        return super().proxy_manager_for(proxy, ssl_context=self._context, **options)

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the login for a proxy, by its URL, which has none."""
        return dict(self._proxy_headers[proxy])

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave it to the context: requests would add the certificates that it brings."""


class _Client(DXF):
    """The registry client with a session that reads nothing of the user's: no netrc file, no variable.

    A login of ~/.netrc would be sent to the registry, and where that says that tokens are had, in place of them.
    """

    def __init__(self, request: Mapping[str, Any], network: HostNetwork) -> None:
        super().__init__(
            request["host"],
            request["repository"],
            auth=None if request["plain_http"] else _authenticate,
            insecure=request["plain_http"],
            timeout=_TIMEOUT_SECONDS,
        )
        self._adapter = _Adapter(network, request["certificates"])

    def __enter__(self) -> _Client:
        super().__enter__()
        session = self._sessions[0]  # of every request, those for tokens and of redirects included
        assert isinstance(session, requests.Session)
        session.trust_env = False
        session.mount("https://", self._adapter)
        session.mount("http://", self._adapter)
        return self


def _connect(request: Mapping[str, Any]) -> _Client:
    return _Client(request, read_host_network())


def _pull(client: DXF, digest: str) -> Iterator[bytes]:
    """The blob in chunks; dxf checks its digest at the end."""
    chunks: Any = client.pull_blob(digest, chunk_size=1 << 20)
    yield from chunks


def _reason(error: BaseException) -> str:
    """The system's words for why a connection failed, where one of the causes of `error` has them."""
    cause: Optional[BaseException] = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if type(cause) is OSError:  # as a proxy's answer to CONNECT is told
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error)


def _read(request: Mapping[str, Any], read: Any) -> Any:
    """Call `read` and turn what a registry answers into one clear error."""
    what, host = request["reference"], request["host"]
    scheme = "http" if request["plain_http"] else "https"
    try:
        return read()
    except requests.HTTPError as error:
        status = error.response.status_code
        if status == 404:
            raise SlimRayImageError(
                f"The base image {what} was not found.",
                evidence=[f"{scheme}://{host} answered 404 for {error.response.url}"],
                fixes=["correct the repository, tag or digest in `base_image`"],
            ) from error
        answer = f"{status} {error.response.reason}"
        if status == 429 or status >= 500:
            raise SlimRayImageError(
                f"The base image {what} cannot be read: {host} answered {answer}.",
                fixes=[
                    "try again later",
                    "name a mirror or a local OCI image layout for it in `[slim-ray].base_image_sources`",
                ],
            ) from error
        raise _denied(what, host, answer) from error
    except (exceptions.DXFUnauthorizedError, exceptions.DXFAuthInsecureError) as error:
        raise _denied(what, host, "401 Unauthorized") from error
    except exceptions.DXFDigestMismatchError as error:
        raise SlimRayImageError(
            f"The base image {what} is not what its digest says.",
            evidence=[f"a blob should be {error.expected}, but {host} sent {error.got}"],
            fixes=["have the registry repaired, or use another; nothing of the blob was kept"],
        ) from error
    except requests.exceptions.ProxyError as error:
        raise SlimRayImageError(
            f"The base image {what} cannot be read: no proxy leads to {host}.",
            evidence=[str(error)],
            fixes=[
                "correct the proxy, or its user and password, in the variable that "
                "`[subprocess-environment].env_vars` passes on",
                f"name {host} in `no_proxy`, if it is reached without a proxy",
            ],
        ) from error
    except requests.RequestException as error:
        is_tls = isinstance(error, requests.exceptions.SSLError)
        raise SlimRayImageError(
            f"The base image {what} cannot be read: {host} does not answer over {scheme}.",
            evidence=[_reason(error)],
            fixes=[
                "check the network and the registry's name in `base_image`",
                *(["name the CA bundle in `[GLOBAL].ca_certs_path`"] if is_tls else []),
                f"if {host} speaks plain HTTP, add it to `[slim-ray].insecure_registries`",
                "name a mirror or a local OCI image layout for it in `[slim-ray].base_image_sources`",
            ],
        ) from error


def _denied(what: str, host: str, answer: str) -> SlimRayImageError:
    return SlimRayImageError(
        f"The base image {what} cannot be read: {host} answered {answer}.",
        fixes=[
            "use an image that can be pulled without logging in",
            "copy it to a registry or an OCI image layout that you can read, and name that in "
            "`[slim-ray].base_image_sources`",
        ],
    )


def _fetch_manifest(client: DXF, request: Mapping[str, Any], identifier: str) -> bytes:
    _, response = _read(request, lambda: client.get_manifest_and_response(identifier))
    content: bytes = response.content
    _check_digest(request, identifier, content)
    return content


def _check_digest(request: Mapping[str, Any], expected: str, content: bytes) -> None:
    if expected.startswith("sha256:") and sha256(content) != expected:
        raise SlimRayImageError(
            f"The base image {request['reference']} is not what its digest says.",
            evidence=[f"it should be {expected}, but {request['host']} sent {sha256(content)}"],
            fixes=["have the registry repaired, or use another; nothing was kept"],
        )


def _no_image(request: Mapping[str, Any], evidence: str) -> SlimRayImageError:
    return SlimRayImageError(
        f"The base image {request['reference']} is not an OCI or Docker image.",
        evidence=[evidence],
        fixes=["name an OCI or Docker image in `base_image`"],
    )


def _parse(request: Mapping[str, Any], content: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise _no_image(request, f"its manifest: {error}") from error
    if not isinstance(fields, dict) or fields.get("schemaVersion") != 2:
        raise _no_image(request, "its manifest: schemaVersion is not 2")
    return fields


def _select(request: Mapping[str, Any], index: Mapping[str, Any]) -> str:
    """Return the digest of the platform's manifest in an image index."""
    platform = parse_platform(request["platform"])
    selected = select_manifest(index, platform)
    if selected is None:
        raise SlimRayImageError(
            f"The base image {request['reference']} has no image for {platform}.",
            evidence=sorted(
                "it has {os}/{architecture}".format(**manifest["platform"])
                for manifest in index.get("manifests") or ()
                if "platform" in manifest
            ),
            fixes=["name a base image of that platform in `base_image`"],
        )
    return selected.digest


def _config_digest(request: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    media_type = manifest.get("mediaType", MANIFEST_MEDIA_TYPES[0])
    digest = (manifest.get("config") or {}).get("digest")
    if media_type not in MANIFEST_MEDIA_TYPES or not digest:
        raise _no_image(request, f"its manifest has the media type {manifest.get('mediaType')}")
    return str(digest)


def resolve(request: Mapping[str, Any]) -> None:
    """Write manifest.json and config.json of the image for the platform, byte for byte as the registry has them."""
    with _connect(request) as client:
        manifest = _fetch_manifest(client, request, request["identifier"])
        fields = _parse(request, manifest)
        if fields.get("mediaType") in INDEX_MEDIA_TYPES or "manifests" in fields:
            manifest = _fetch_manifest(client, request, _select(request, fields))
            fields = _parse(request, manifest)
        config_digest = _config_digest(request, fields)
        config = _read(request, lambda: b"".join(_pull(client, config_digest)))
    for name, content in (("manifest.json", manifest), ("config.json", config)):
        with open(name, "wb") as file:
            file.write(content)


def fetch_blob(request: Mapping[str, Any]) -> None:
    """Write the blob as the file `blob`."""
    with _connect(request) as client, open("blob", "wb") as file:

        def read() -> None:
            for chunk in _pull(client, request["digest"]):
                file.write(chunk)

        _read(request, read)


if __name__ == "__main__":
    run_program(
        lambda request: {"resolve": resolve, "blob": fetch_blob}[request["operation"]](request)
    )
