"""Tests of the programs that read registries, with a real registry (the distribution project's)."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest
import requests
from conftest import (
    CONFIG,
    GZIP_LAYER,
    INDEX,
    MANIFEST,
    Golden,
    as_json,
    digest_of,
    error_text,
    make_base_config,
)
from needs import find_program, needs
from sandbox.servers import Certificates, Front, Proxy, TokenRegistry, make_certificates
from sandbox.stand_in_pants import run_program_below

from slim_ray_image.core.base.base_manifest import parse_base_image
from slim_ray_image.core.base.registry_request import (
    FetchBlobRequest,
    RegistryPlace,
    ResolveImageRequest,
)
from slim_ray_image.core.platforms import LINUX_AMD64
from slim_ray_image.sandbox.base import fetch_blob, resolve_image
from slim_ray_image.sandbox.report import USER_ERROR

REGISTRY = find_program("docker-registry")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

needs_openssl = needs("openssl")
needs_registry = needs("registry")


class Registry:
    """A registry process with its own storage.

    Attributes:
        host: 127.0.0.1 and a free port that the registry chose.
    """

    def __init__(self, folder: Path, settings: str = "") -> None:
        assert REGISTRY
        self._storage = folder / "storage"
        config = folder / "config.yml"
        config.write_text(
            "version: 0.1\n"
            "log: {level: info, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self._storage}}}}}\n"
            "http: {addr: '127.0.0.1:0'}\n"
            f"{settings}"
        )
        self._process = subprocess.Popen(
            [REGISTRY, "serve", config], stderr=subprocess.PIPE, text=True, env={}
        )
        self.host = self._read_host()
        # Reads the log, since a full pipe would block the registry.
        threading.Thread(target=self._log().read, daemon=True).start()
        self._session = requests.Session()
        self._session.trust_env = False

    def _log(self) -> Any:
        return self._process.stderr

    def _read_host(self) -> str:
        for line in self._log():
            listening = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
            if listening:
                return listening[1]
        raise AssertionError("the registry ended before it listened")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def put_blob(self, repository: str, content: bytes) -> str:
        """Upload a blob in one piece and return its digest."""
        digest = digest_of(content)
        started = self._session.post(f"http://{self.host}/v2/{repository}/blobs/uploads/")
        started.raise_for_status()
        self._session.put(
            started.headers["Location"], params={"digest": digest}, data=content
        ).raise_for_status()
        return digest

    def put_manifest(self, repository: str, identifier: str, manifest: Any) -> str:
        """Upload a manifest or an index by tag or digest and return its digest."""
        content = as_json(manifest)
        self._session.put(
            f"http://{self.host}/v2/{repository}/manifests/{identifier}",
            data=content,
            headers={"Content-Type": manifest["mediaType"]},
        ).raise_for_status()
        return digest_of(content)

    def put_image(self, repository: str, tag: str, **changes: Any) -> bytes:
        """Upload an image of one layer and return its manifest."""
        config = as_json(make_base_config(comment=f"{repository}:{tag}", **changes))
        layer = f"layer of {repository}:{tag}".encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._descriptor(repository, CONFIG, config),
            "layers": [self._descriptor(repository, GZIP_LAYER, layer)],
        }
        self.put_manifest(repository, tag, manifest)
        return as_json(manifest)

    def _descriptor(self, repository: str, media_type: str, content: bytes) -> dict[str, Any]:
        digest = self.put_blob(repository, content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def put_index(
        self, repository: str, tag: str, manifests: list[dict[str, Any]], media_type: str = INDEX
    ) -> str:
        index = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
        return self.put_manifest(repository, tag, index)

    def corrupt(self, digest: str, content: bytes) -> None:
        """Replace the bytes of a blob or manifest in the registry's storage."""
        hexadecimal = digest.partition(":")[2]
        (path,) = self._storage.glob(f"**/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data")
        path.write_bytes(content)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    running = Registry(tmp_path_factory.mktemp("registry"))
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def place_of(host: str, repository: str, **changes: Any) -> RegistryPlace:
    return replace(RegistryPlace(f"{host}/{repository}", host, repository, True, ""), **changes)


def resolve(place: RegistryPlace, identifier: str = "latest") -> None:
    resolve_image.main(ResolveImageRequest(place, identifier, "linux/amd64"))


def fetch(place: RegistryPlace, digest: str) -> None:
    fetch_blob.main(FetchBlobRequest(place, digest))


def fetched() -> tuple[bytes, bytes]:
    """Return the manifest and config that the program wrote."""
    return Path("manifest.json").read_bytes(), Path("config.json").read_bytes()


def entry_of(
    manifest: bytes, architecture: Optional[str] = "amd64", **changes: Any
) -> dict[str, Any]:
    """Return an entry of an index."""
    entry = {
        "mediaType": json.loads(manifest)["mediaType"],
        "digest": digest_of(manifest),
        "size": len(manifest),
        **changes,
    }
    if architecture:
        entry["platform"] = {"os": "linux", "architecture": architecture}
    return entry


# --- Images


@needs_registry
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_image_is_read_byte_for_byte(sandbox: Path, registry: Registry, by: str) -> None:
    """Manifest and config are written with the registry's bytes, found by tag or by digest."""
    manifest = registry.put_image("team/base", "1.0")
    identifier = {"tag": "1.0", "digest": digest_of(manifest)}[by]
    resolve(place_of(registry.host, "team/base"), identifier)
    content, config = fetched()
    assert content == manifest
    assert digest_of(config) == json.loads(manifest)["config"]["digest"]


@needs_registry
def test_image_that_docker_pushed_is_read(sandbox: Path, registry: Registry) -> None:
    """A manifest of Docker's own media type is read."""
    manifest = {
        **json.loads(registry.put_image("docker", "oci")),
        "mediaType": DOCKER_MANIFEST,
    }
    registry.put_manifest("docker", "latest", manifest)
    resolve(place_of(registry.host, "docker"))
    assert fetched()[0] == as_json(manifest)


@needs_registry
def test_what_is_fetched_is_a_base(sandbox: Path, registry: Registry) -> None:
    """The written files can be read as a base image."""
    diff_ids = {"rootfs": {"type": "layers", "diff_ids": [digest_of(b"tar")]}}
    manifest = registry.put_image("base", "latest", **diff_ids)
    resolve(place_of(registry.host, "base"))
    base = parse_base_image("base", "base", *fetched(), platform=LINUX_AMD64)
    assert base.manifest_digest == digest_of(manifest)
    (layer,) = base.layers
    fetch(place_of(registry.host, "base"), layer.digest)
    assert Path("blob").read_bytes() == b"layer of base:latest"


@needs_registry
@pytest.mark.parametrize("media_type", [INDEX, DOCKER_INDEX])
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_image_of_the_platform_is_selected_from_an_index(
    sandbox: Path, registry: Registry, media_type: str, by: str
) -> None:
    """The image for the requested platform is selected from an index, at any position."""
    repository = f"multi/{'docker' if media_type == DOCKER_INDEX else 'oci'}/{by}"
    arm = registry.put_image(repository, "arm", architecture="arm64")
    amd = registry.put_image(repository, "amd")
    digest = registry.put_index(
        repository, "latest", [entry_of(arm, "arm64"), entry_of(amd)], media_type
    )
    identifier = {"tag": "latest", "digest": digest}[by]
    resolve(place_of(registry.host, repository), identifier)
    assert fetched()[0] == amd


@needs_registry
def test_index_without_the_platform_is_an_error(sandbox: Path, registry: Registry) -> None:
    """An index without the platform is rejected, with the platforms that it has."""
    images = [registry.put_image("foreign", name) for name in ("s390x", "arm64")]
    unknown = registry.put_image("foreign", "attestation")
    registry.put_index(
        "foreign",
        "latest",
        [entry_of(images[0], "s390x"), entry_of(images[1], "arm64"), entry_of(unknown, None)],
    )
    assert error_text(lambda: resolve(place_of(registry.host, "foreign"))) == (
        f"The base image {registry.host}/foreign has no image for linux/amd64.\n"
        "\n"
        "  * it has linux/arm64\n"
        "  * it has linux/s390x\n"
        "\n"
        "To fix, name a base image of that platform in `base_image`."
    )
    assert not list(sandbox.iterdir())


@needs_registry
def test_index_in_an_index_is_an_error(sandbox: Path, registry: Registry) -> None:
    """An index whose entry for the platform is another index is rejected."""
    image = registry.put_image("nested", "image")
    inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry_of(image)]}
    registry.put_manifest("nested", "inner", inner)
    registry.put_index("nested", "latest", [entry_of(as_json(inner))])
    assert error_text(lambda: resolve(place_of(registry.host, "nested"))) == (
        f"The base image {registry.host}/nested is not an OCI or Docker image.\n"
        "\n"
        "  * its manifest has the media type application/vnd.oci.image.index.v1+json\n"
        "\n"
        "To fix, name an OCI or Docker image in `base_image`."
    )


@needs_registry
@pytest.mark.parametrize(
    ("changes", "evidence"),
    [
        pytest.param(
            {"config": None},
            "its manifest lacks or misuses 'config'",
            id="no config",
        ),
        pytest.param({"schemaVersion": 1}, "its manifest: schemaVersion is not 2", id="schema 1"),
    ],
)
def test_manifest_that_is_no_image_is_an_error(
    sandbox: Path, registry: Registry, changes: dict[str, Any], evidence: str
) -> None:
    """A manifest of another kind, or of Docker's oldest format, is rejected."""
    repository = f"artifact/{'-'.join(changes).lower()}"
    manifest = registry.put_image(repository, "latest")
    changed = {**json.loads(manifest), **changes}
    registry.corrupt(
        digest_of(manifest), as_json({k: v for k, v in changed.items() if v is not None})
    )
    assert error_text(lambda: resolve(place_of(registry.host, repository))) == (
        f"The base image {registry.host}/{repository} is not an OCI or Docker image.\n"
        "\n"
        f"  * {evidence}\n"
        "\n"
        "To fix, name an OCI or Docker image in `base_image`."
    )


# --- Missing images and registries


@needs_registry
@pytest.mark.parametrize(
    ("repository", "identifier"),
    [
        pytest.param("here", "other", id="tag"),
        pytest.param("here", digest_of(b"other"), id="digest"),
        pytest.param("elsewhere", "latest", id="repository"),
    ],
)
def test_image_that_is_not_there_is_an_error(
    sandbox: Path, registry: Registry, repository: str, identifier: str
) -> None:
    """An unknown repository, tag or digest is reported with the requested URL."""
    registry.put_image("here", "latest")
    place = place_of(registry.host, repository)
    assert error_text(lambda: resolve(place, identifier)) == (
        f"The base image {registry.host}/{repository} was not found.\n"
        "\n"
        f"  * http://{registry.host} answered 404 for "
        f"http://{registry.host}/v2/{repository}/manifests/{identifier}\n"
        "\n"
        "To fix, correct the repository, tag or digest in `base_image`."
    )


@needs_registry
def test_blob_that_is_not_there_is_an_error(sandbox: Path, registry: Registry) -> None:
    """A layer that the registry lacks is reported with the requested URL."""
    registry.put_image("here", "latest")
    digest = digest_of(b"no such layer")
    text = error_text(lambda: fetch(place_of(registry.host, "here"), digest))
    assert text.startswith(f"The base image {registry.host}/here was not found.\n")
    assert f"answered 404 for http://{registry.host}/v2/here/blobs/{digest}\n" in text


def test_registry_that_is_down_is_an_error(sandbox: Path) -> None:
    """An unreachable registry is reported with the system's reason and the alternatives."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        # The socket is bound, so that no other process uses the port, but does not listen.
        text = error_text(lambda: resolve(place_of(host, "base")))
    assert text == (
        f"The base image {host}/base cannot be read: {host} does not answer over http.\n"
        "\n"
        "  * Connection refused\n"
        "\n"
        "To fix, do one of the following:\n"
        "  * check the network and the registry's name in `base_image`\n"
        f"  * if {host} speaks plain HTTP, add it to `[slim-ray].insecure_registries`\n"
        "  * name a mirror or a local OCI image layout for it in `[slim-ray].base_image_sources`"
    )


@needs_registry
def test_registry_without_tls_is_an_error_unless_it_is_said(
    sandbox: Path, registry: Registry
) -> None:
    """The client uses HTTPS unless plain HTTP is requested, and never falls back to HTTP."""
    registry.put_image("here", "latest")
    text = error_text(lambda: resolve(place_of(registry.host, "here", plain_http=False)))
    assert text.startswith(
        f"The base image {registry.host}/here cannot be read: {registry.host} does not answer over https.\n"
    )


@needs_registry
def test_registry_that_wants_a_login_is_an_error(sandbox: Path, tmp_path: Path) -> None:
    """A registry that rejects anonymous requests is reported with the alternatives."""
    (tmp_path / "htpasswd").write_text("")
    closed = Registry(
        tmp_path, f"auth: {{htpasswd: {{realm: test, path: {tmp_path / 'htpasswd'}}}}}\n"
    )
    try:
        text = error_text(lambda: resolve(place_of(closed.host, "base")))
    finally:
        closed.stop()
    assert text == (
        f"The base image {closed.host}/base cannot be read: {closed.host} answered 401 Unauthorized.\n"
        "\n"
        "To fix, do one of the following:\n"
        "  * use an image that can be pulled without logging in\n"
        "  * copy it to a registry or an OCI image layout that you can read, and name that in "
        "`[slim-ray].base_image_sources`"
    )


# --- Wrong digests


def other_manifest(manifest: bytes) -> bytes:
    return as_json({**json.loads(manifest), "annotations": {"changed": "yes"}})


@needs_registry
def test_manifest_that_is_not_its_digest_is_an_error(sandbox: Path, registry: Registry) -> None:
    """A manifest that was requested by digest must have that digest."""
    manifest = registry.put_image("tampered/manifest", "latest")
    registry.corrupt(digest_of(manifest), other_manifest(manifest))
    place = place_of(registry.host, "tampered/manifest")
    assert error_text(lambda: resolve(place, digest_of(manifest))) == (
        f"The content of the base image {registry.host}/tampered/manifest does not match its digest.\n"
        "\n"
        f"  * a blob should be {digest_of(manifest)}, but {registry.host} sent {digest_of(other_manifest(manifest))}\n"
        "\n"
        "To fix, have the registry repaired, or use another; nothing was kept."
    )
    assert not list(sandbox.iterdir())


@needs_registry
def test_manifest_that_is_not_what_its_index_says_is_an_error(
    sandbox: Path, registry: Registry
) -> None:
    """A manifest must have the digest in its index."""
    manifest = registry.put_image("tampered/index", "image")
    registry.put_index("tampered/index", "latest", [entry_of(manifest)])
    registry.corrupt(digest_of(manifest), other_manifest(manifest))
    text = error_text(lambda: resolve(place_of(registry.host, "tampered/index")))
    assert f"  * a blob should be {digest_of(manifest)}, but {registry.host} sent " in text


def read_config(registry: Registry, repository: str, digest: str) -> None:
    resolve(place_of(registry.host, repository))


def read_layer(registry: Registry, repository: str, digest: str) -> None:
    fetch(place_of(registry.host, repository), digest)


@needs_registry
@pytest.mark.parametrize(
    ("read", "descriptor"),
    [
        pytest.param(read_config, lambda manifest: manifest["config"], id="config"),
        pytest.param(read_layer, lambda manifest: manifest["layers"][0], id="layer"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"{}"], ids=["emptied", "replaced"])
def test_blob_that_is_not_its_digest_is_an_error(
    sandbox: Path,
    registry: Registry,
    read: Callable[[Registry, str, str], None],
    descriptor: Callable[[Any], Any],
    content: bytes,
) -> None:
    """A blob that was corrupted in the registry is rejected."""
    repository = f"tampered/{read.__name__.replace('_', '-')}/{len(content)}"
    digest = descriptor(json.loads(registry.put_image(repository, "latest")))["digest"]
    registry.corrupt(digest, content)
    assert error_text(lambda: read(registry, repository, digest)) == (
        f"The content of the base image {registry.host}/{repository} does not match its digest.\n"
        "\n"
        f"  * a blob should be {digest}, but {registry.host} sent {digest_of(content)}\n"
        "\n"
        "To fix, have the registry repaired, or use another; nothing was kept."
    )
    assert not Path("config.json").exists()


# --- The user's netrc file


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "made", "registry.example")


@pytest.fixture
def _login_for_every_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the user a netrc file with a login for every host."""
    (tmp_path / ".netrc").write_text("default login user password of-the-netrc-file\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)


@needs_registry
def test_login_of_a_netrc_file_is_sent_to_no_registry(
    sandbox: Path, registry: Registry, _login_for_every_host: None
) -> None:
    """A login in a netrc file is sent to no registry: over plain HTTP, others could read the login."""
    manifest = registry.put_image("no-login", "latest")
    layer = json.loads(manifest)["layers"][0]["digest"]
    with Front(registry.host) as front:
        resolve(place_of(front.address, "no-login"))
        fetch(place_of(front.address, "no-login"), layer)
    assert [asked.target.rpartition("/")[0] for asked in front.asked] == [
        "/v2/no-login/manifests",
        "/v2/no-login/blobs",
        "/v2/no-login/blobs",
    ]
    assert {asked.authorization for asked in front.asked} == {None}


@needs_openssl
@needs_registry
@pytest.mark.parametrize("has_storage", [False, True], ids=["itself", "by a redirect"])
def test_registry_with_tokens_is_read_beside_a_netrc_file(
    sandbox: Path,
    registry: Registry,
    certificates: Certificates,
    has_storage: bool,
    _login_for_every_host: None,
) -> None:
    """The client requests a token without a login and sends only the token; a redirect for a blob gets neither."""
    manifest = registry.put_image("tokens", "latest")
    layer = json.loads(manifest)["layers"][0]["digest"]
    with Front(registry.host) as storage, TokenRegistry(registry.host, certificates) as front:
        front.storage = storage.address if has_storage else None
        authority = str(certificates.authority)
        place = place_of(front.address, "tokens", plain_http=False, certificates=authority)
        resolve(place)
        fetch(place, layer)
    assert fetched()[0] == manifest
    assert Path("blob").read_bytes() == b"layer of tokens:latest"
    sent = {asked.authorization for asked in front.asked}
    assert sent == {None, f"Bearer {front.token}"}
    assert [asked.authorization for asked in storage.asked] == ([None, None] if has_storage else [])


# --- Proxies and certificates

NAME = "registry.example"  # reachable only through a proxy
LOGIN = "proxy-user:s%2Fcret"  # percent-encoded, as in a proxy's URL
HEADER = f"Basic {base64.b64encode(b'proxy-user:s/cret').decode()}"


def run(
    place: RegistryPlace, environment: dict[str, str], blob: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the program for an image or a blob, with `environment` as the variables of `[subprocess-environment]`."""
    if blob:
        return run_program_below("base.fetch_blob", FetchBlobRequest(place, blob), environment)
    request = ResolveImageRequest(place, "latest", "linux/amd64")
    return run_program_below("base.resolve_image", request, environment)


@needs_registry
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_registry_is_read_through_the_proxy(
    sandbox: Path, registry: Registry, variable: str
) -> None:
    """Manifest, config and layer are read through the proxy, which gets its login each time."""
    manifest = registry.put_image("proxied", "latest")
    (layer,) = json.loads(manifest)["layers"]
    with Proxy(registry.host, login=HEADER) as proxy:
        environment = {variable: f"http://{LOGIN}@{proxy.address}"}
        for blob in ("", layer["digest"]):
            result = run(place_of(NAME, "proxied"), environment, blob)
            assert (result.returncode, result.stderr) == (0, "")
    assert fetched()[0] == manifest
    assert Path("blob").read_bytes() == b"layer of proxied:latest"
    assert [asked.target for asked in proxy.asked] == [
        f"http://{NAME}/v2/proxied/manifests/latest",
        f"http://{NAME}/v2/proxied/blobs/{json.loads(manifest)['config']['digest']}",
        f"http://{NAME}/v2/proxied/blobs/{layer['digest']}",
    ]
    assert {asked.proxy_authorization for asked in proxy.asked} == {HEADER}


@needs_openssl
@needs_registry
def test_registry_with_tokens_is_read_through_the_proxy(
    sandbox: Path, registry: Registry, certificates: Certificates
) -> None:
    """The token is fetched through the proxy too; a redirect to storage on this machine is followed directly."""
    (layer,) = json.loads(registry.put_image("tunnel", "latest"))["layers"]
    with (
        Front(registry.host) as storage,
        TokenRegistry(registry.host, certificates) as front,
        Proxy(front.address) as proxy,
    ):
        front.name, front.storage = NAME, storage.address
        result = run(
            place_of(NAME, "tunnel", plain_http=False, certificates=str(certificates.authority)),
            {"HTTPS_PROXY": f"http://{LOGIN}@{proxy.address}", "http_proxy": "no:1"},
            layer["digest"],
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert Path("blob").read_bytes() == b"layer of tunnel:latest"
    assert {(asked.method, asked.target) for asked in proxy.asked} == {("CONNECT", f"{NAME}:443")}
    assert [asked.target for asked in storage.asked] == [f"/v2/tunnel/blobs/{layer['digest']}"]
    # Only the proxy receives its login.
    assert {asked.proxy_authorization for asked in (*front.asked, *storage.asked)} == {None}
    assert {asked.proxy_authorization for asked in proxy.asked} == {HEADER}


@needs_registry
def test_registry_of_this_machine_is_asked_directly(sandbox: Path, registry: Registry) -> None:
    """A registry on this machine is contacted directly, since a proxy has its own loopback."""
    registry.put_image("direct", "latest")
    with Proxy(registry.host) as proxy:
        result = run(place_of(registry.host, "direct"), {"http_proxy": proxy.address})
    assert (result.returncode, proxy.asked) == (0, [])


@needs_openssl
@needs_registry
@pytest.mark.parametrize("by", ["ca_certs_path", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_registry_is_trusted_by_the_authority_that_is_named(
    sandbox: Path, registry: Registry, certificates: Certificates, by: str
) -> None:
    """The CA bundle of Pants' own option is trusted, else that of the variables that Pants passes on."""
    registry.put_image("trusted", "latest")
    authority, folder = certificates.authority, sandbox / "authorities"
    folder.mkdir()
    (folder / "own.pem").write_bytes(authority.read_bytes())
    subprocess.run(["openssl", "rehash", folder], check=True)
    environment, option = {
        "ca_certs_path": ({"SSL_CERT_FILE": "/dev/null"}, str(authority)),
        "SSL_CERT_FILE": ({"SSL_CERT_FILE": str(authority)}, ""),
        "SSL_CERT_DIR": ({"SSL_CERT_DIR": f"/nonexistent:{folder}"}, ""),
    }[by]
    with Front(registry.host, certificates) as front:
        place = place_of(front.address, "trusted", plain_http=False)
        result = run(replace(place, certificates=option), environment)
        untrusted = run(place, {"SSL_CERT_FILE": "/nonexistent"})
    assert (result.returncode, result.stderr) == (0, "")
    assert untrusted.returncode == USER_ERROR
    assert "certificate verify failed" in untrusted.stderr
    assert "name the CA bundle in `[GLOBAL].ca_certs_path`" in untrusted.stderr


@needs_openssl
@needs_registry
def test_authority_that_is_named_is_the_only_one(
    sandbox: Path, registry: Registry, certificates: Certificates
) -> None:
    """No other authority is trusted besides the named one."""
    registry.put_image("trusted", "latest")
    others = make_certificates(sandbox / "others")
    with Front(registry.host, certificates) as front:
        result = run(
            place_of(
                front.address, "trusted", plain_http=False, certificates=str(others.authority)
            ),
            {"SSL_CERT_FILE": str(certificates.authority)},
        )
    assert "certificate verify failed" in result.stderr


def test_bundle_without_certificates_is_an_error(sandbox: Path, golden: Golden) -> None:
    """The error names the option of the unreadable CA bundle."""
    Path("certificates.pem").write_text("no certificates\n")
    result = run(place_of(NAME, "x", certificates="certificates.pem"), {})
    assert result.returncode == USER_ERROR
    golden.check("errors/base/no-certificates.txt", result.stderr)


@pytest.mark.parametrize("plain_http", [True, False], ids=["http", "https"])
def test_proxy_that_refuses_a_login_is_an_error(
    sandbox: Path, golden: Golden, plain_http: bool
) -> None:
    """The error blames the proxy rather than the registry, and omits the login."""
    with Proxy("127.0.0.1:1", login="another") as proxy:
        result = run(
            place_of(NAME, "x", plain_http=plain_http),
            {"all_proxy": f"http://{LOGIN}@{proxy.address}"},
        )
    assert result.returncode == USER_ERROR
    text = result.stderr.replace(proxy.address, "127.0.0.1:PORT")
    golden.check(f"errors/base/proxy-refuses-login-{'http' if plain_http else 'https'}.txt", text)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("http://{login}@127.0.0.1:1", "127.0.0.1:1: Connection refused", id="down"),
        pytest.param("socks5://{login}@127.0.0.1:1", "is not of the form http://", id="SOCKS"),
        pytest.param("http://{login}/x@127.0.0.1:1", "is not of the form http://", id="malformed"),
    ],
)
@pytest.mark.parametrize("plain_http", [True, False], ids=["http", "https"])
def test_proxy_that_cannot_be_asked_is_an_error(
    sandbox: Path, url: str, reason: str, plain_http: bool
) -> None:
    """If the proxy is unusable, the registry is not contacted directly, and the error omits the login."""
    place = place_of(NAME, "x", plain_http=plain_http)
    result = run(place, {"all_proxy": url.format(login=LOGIN)})
    assert result.returncode == USER_ERROR
    assert result.stderr.startswith(
        f"The base image {NAME}/x cannot be read: the proxy for {NAME} failed or is set wrongly.\n\n  * the proxy "
    )
    assert reason in result.stderr
    assert "cret" not in result.stderr
