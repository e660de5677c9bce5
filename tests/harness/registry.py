"""A real docker-registry on this machine, and images made in code to push to it.

Specification: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md ("Push").
"""

from __future__ import annotations

import gzip
import io
import json
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from harness.image_layout import CONFIG, GZIP_LAYER, INDEX, MANIFEST, describe, digest_of

_CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "{address}"}}
"""


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port of an address of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind((address, 0))
        return listener.getsockname()[1]


def open_url(
    url: str, *, method: str = "GET", data: Optional[bytes] = None, media_type: str = ""
) -> Any:
    """Open a URL of this machine, without any proxy."""
    request = urllib.request.Request(url, data=data, method=method)
    if media_type:
        request.add_header("Content-Type", media_type)
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)


def make_layer(files: Mapping[str, str]) -> bytes:
    """Return the gzip blob of a layer with `files` (path -> content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0)


class Registry:
    """A running registry. Arguments name repositories and references without its address."""

    def __init__(self, executable: str, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._root = folder / "root"
        self._root.mkdir(parents=True)
        configuration = folder / "configuration.yml"
        configuration.write_text(
            _CONFIGURATION.format(root=json.dumps(str(self._root)), address=self.address)
        )
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [executable, "serve", str(configuration)], stdout=log, stderr=log
            )
        (folder / "pid").write_text(str(self._process.pid))
        self._await()

    def _await(self) -> None:
        for _ in range(100):
            try:
                with open_url(f"http://{self.address}/v2/"):
                    return
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                time.sleep(0.1)
        raise AssertionError(f"The registry does not answer:\n{self._log.read_text()}")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def push_blob(self, repository: str, media_type: str, content: bytes) -> dict[str, Any]:
        """Push a blob and return its descriptor."""
        descriptor = describe(media_type, content)
        start = f"http://{self.address}/v2/{repository}/blobs/uploads/"
        with open_url(start, method="POST", data=b"") as response:
            place = response.headers["Location"]
        url = f"{place}&digest={descriptor['digest']}"
        with open_url(url, method="PUT", data=content, media_type="application/octet-stream"):
            return descriptor

    def push_manifest(self, reference: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Push a manifest or an index as `reference`, REPOSITORY:TAG, and return its descriptor."""
        repository, _, tag = reference.partition(":")
        content = json.dumps(manifest).encode()
        url = f"http://{self.address}/v2/{repository}/manifests/{tag}"
        with open_url(url, method="PUT", data=content, media_type=manifest["mediaType"]):
            return describe(manifest["mediaType"], content)

    def push_image(
        self, reference: str, *, architecture: str = "amd64", files: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Push an image of one layer with `files`, and return its manifest."""
        repository = reference.partition(":")[0]
        layer = make_layer(files)
        config = {
            "os": "linux",
            "architecture": architecture,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(gzip.decompress(layer))]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.push_blob(repository, CONFIG, json.dumps(config).encode()),
            "layers": [self.push_blob(repository, GZIP_LAYER, layer)],
        }
        self.push_manifest(reference, manifest)
        return manifest

    def push_index(self, reference: str, architectures: Sequence[str]) -> None:
        """Push an index of one image for each of the architectures."""
        repository, _, tag = reference.partition(":")
        manifests = []
        for architecture in architectures:
            image = f"{repository}:{tag}-{architecture}"
            manifest = self.push_image(image, architecture=architecture, files={"image": image})
            platform = {"os": "linux", "architecture": architecture}
            manifests.append({**self.push_manifest(image, manifest), "platform": platform})
        self.push_manifest(
            reference, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        )

    def push_artifact(self, reference: str) -> None:
        """Push an OCI artifact that is not an image: a chart, in the form that Helm pushes."""
        repository = reference.partition(":")[0]
        chart = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
        config = "application/vnd.cncf.helm.config.v1+json"
        self.push_manifest(
            reference,
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self.push_blob(repository, config, b'{"name": "chart"}'),
                "layers": [self.push_blob(repository, chart, make_layer({"chart": "x"}))],
            },
        )

    def corrupt(self, digest: str) -> None:
        """Change a byte of a stored blob, like a broken disk."""
        encoded = digest.partition(":")[2]
        path = self._root / f"docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
