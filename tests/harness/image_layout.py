"""A reader and a validator of OCI image layouts, which import nothing of the plugin, so that they find its faults.

Specification: https://github.com/opencontainers/image-spec/tree/v1.1.0 (image-layout.md, manifest.md, config.md, layer.md).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import tarfile
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def describe(media_type: str, content: bytes) -> dict[str, Any]:
    """Return the descriptor of a blob."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def unpacked(media_type: str, blob: bytes) -> bytes:
    """Return the tar in a layer's blob, uncompressed."""
    return gzip.decompress(blob) if media_type.endswith("+gzip") else blob


@dataclass(frozen=True)
class Layer:
    """A layer of the image in a layout."""

    media_type: str
    digest: str
    size: int
    diff_id: str


class ImageLayout:
    """The image of an OCI image layout that contains only one. Paths in the image are absolute."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, tuple[tarfile.TarInfo, ...]] = {}

    def blob_path(self, digest: str) -> Path:
        algorithm, _, encoded = digest.partition(":")
        return self.folder / "blobs" / algorithm / encoded

    def blob(self, digest: str) -> bytes:
        return self.blob_path(digest).read_bytes()

    @cached_property
    def manifest_descriptor(self) -> Mapping[str, Any]:
        (descriptor,) = json.loads((self.folder / "index.json").read_bytes())["manifests"]
        return descriptor

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        return json.loads(self.blob(self.manifest_descriptor["digest"]))

    @cached_property
    def config(self) -> Mapping[str, Any]:
        return json.loads(self.blob(self.manifest["config"]["digest"]))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, lowest first."""
        diff_ids = self.config["rootfs"]["diff_ids"]
        assert len(diff_ids) == len(self.manifest["layers"])
        return tuple(
            Layer(layer["mediaType"], layer["digest"], layer["size"], diff_id)
            for layer, diff_id in zip(self.manifest["layers"], diff_ids)
        )

    def _members(self, layer: Layer) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        tar = unpacked(layer.media_type, self.blob(layer.digest))
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            for member in archive:
                yield archive, member

    def entries(self, layer: Layer) -> tuple[tarfile.TarInfo, ...]:
        """Return the entries of a layer, in the order of its tar; each layer is read once."""
        if layer.digest not in self._entries:
            self._entries[layer.digest] = tuple(member for _, member in self._members(layer))
        return self._entries[layer.digest]

    def paths(self, layer: Layer) -> tuple[str, ...]:
        return tuple(path_of(entry) for entry in self.entries(layer))

    def read(self, suffix: str) -> dict[str, bytes]:
        """Map each regular file whose path ends with `suffix` to its content in the highest layer that has the file."""
        found = {}
        for layer in self.layers:
            if not any(path.endswith(suffix) for path in self.paths(layer)):
                continue
            for archive, member in self._members(layer):
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None and path_of(member).endswith(suffix):
                    found[path_of(member)] = file.read()
        return found


def path_of(entry: tarfile.TarInfo) -> str:
    """Return the absolute path that a layer's entry has in the image."""
    return posixpath.normpath(f"/{entry.name}")


def _read_json(content: bytes, what: str, problems: list[str]) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        problems.append(f"{what} is not JSON: {error}")
        return {}
    if isinstance(value, dict):
        return value
    problems.append(f"{what} is not an object")
    return {}


class _Validator:
    """Follows the descriptors from index.json to every blob, and collects each difference from its descriptor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._referenced: set[str] = set()
        self.problems: list[str] = []

    def _expect(self, what: str, expected: object, found: object) -> None:
        if found != expected:
            self.problems.append(f"{what} should be {expected!r}, but is {found!r}")

    def _file(self, name: str) -> Optional[bytes]:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            self.problems.append(f"{name}: {error.strerror}")
            return None

    def _blob(self, descriptor: Mapping[str, Any], what: str) -> Optional[bytes]:
        """Read the blob of a descriptor, and compare size and digest with the descriptor; None if there is no blob."""
        digest, size = str(descriptor.get("digest")), descriptor.get("size")
        name = f"blobs/{digest.replace(':', '/', 1)}"
        self._referenced.add(name)
        content = self._file(name)
        if content is not None:
            self._expect(f"size of {what}", size, len(content))
            self._expect(f"digest of {what}", digest, digest_of(content))
        return content

    def layout(self) -> None:
        marker, index_content = self._file("oci-layout"), self._file("index.json")
        if marker is not None:
            version = _read_json(marker, "oci-layout", self.problems).get("imageLayoutVersion")
            self._expect("imageLayoutVersion", "1.0.0", version)
        if index_content is not None:
            index = _read_json(index_content, "index.json", self.problems)
            self._expect("schemaVersion of index.json", 2, index.get("schemaVersion"))
            self._expect("mediaType of index.json", INDEX, index.get("mediaType"))
            manifests = index.get("manifests") or []
            if not manifests:
                self.problems.append("index.json has no manifest")
            for number, descriptor in enumerate(manifests):
                self._image(descriptor, f"manifest {number}")
        self._unreferenced()

    def _image(self, descriptor: Mapping[str, Any], what: str) -> None:
        self._expect(f"mediaType of {what}", MANIFEST, descriptor.get("mediaType"))
        content = self._blob(descriptor, what)
        if content is None:
            return
        manifest = _read_json(content, what, self.problems)
        self._expect(f"schemaVersion in {what}", 2, manifest.get("schemaVersion"))
        self._expect(f"mediaType in {what}", MANIFEST, manifest.get("mediaType"))
        config_descriptor = manifest.get("config") or {}
        self._expect("mediaType of the config", CONFIG, config_descriptor.get("mediaType"))
        config_content = self._blob(config_descriptor, "the config")
        config = _read_json(config_content or b"{}", "the config", self.problems)
        platform = descriptor.get("platform") or {}
        for key in ("os", "architecture"):
            self._expect(f"{key} of the config", platform.get(key), config.get(key))
        self._layers(manifest.get("layers") or [], config)

    def _layers(self, layers: list[Mapping[str, Any]], config: Mapping[str, Any]) -> None:
        rootfs = config.get("rootfs") or {}
        diff_ids = rootfs.get("diff_ids") or []
        history = [entry for entry in config.get("history") or [] if not entry.get("empty_layer")]
        self._expect("type of rootfs", "layers", rootfs.get("type"))
        self._expect("number of diff_ids", len(layers), len(diff_ids))
        self._expect("number of history entries with a layer", len(layers), len(history))
        for number, layer in enumerate(layers):
            media_type = str(layer.get("mediaType"))
            if media_type not in (LAYER, GZIP_LAYER):
                self.problems.append(f"mediaType of layer {number} is {media_type!r}")
            blob = self._blob(layer, f"layer {number}")
            if blob is None:
                continue
            try:
                tar = unpacked(media_type, blob)
            except (OSError, EOFError) as error:
                self.problems.append(f"layer {number} is not gzip: {error}")
                continue
            if number < len(diff_ids):
                self._expect(f"diff_id of layer {number}", diff_ids[number], digest_of(tar))
            self._tar(tar, f"layer {number}")

    def _tar(self, tar: bytes, what: str) -> None:
        try:
            with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
                paths = [path_of(member) for member in archive]
        except tarfile.TarError as error:
            self.problems.append(f"{what} is not a tar: {error}")
            return
        repeated = sorted(path for path, count in Counter(paths).items() if count > 1)
        if repeated:
            self.problems.append(f"{what} has more than one entry for {', '.join(repeated)}")

    def _unreferenced(self) -> None:
        for path in sorted((self._folder / "blobs").glob("*/*")):
            name = path.relative_to(self._folder).as_posix()
            if name not in self._referenced:
                self.problems.append(f"nothing points at {name}")


def validate_layout(folder: Path) -> list[str]:
    """Return the problems of an OCI image layout; none if every descriptor and every diff_id matches its blob."""
    validator = _Validator(folder)
    validator.layout()
    return validator.problems
