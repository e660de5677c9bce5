"""Stage 5 of 6: append layers to the base image's image config and manifest, without reading a layer's blob.

In: the base's manifest and config, the layers that stage 4 built. Out: an `Image` with its JSON as exact bytes.
Specification: https://github.com/opencontainers/image-spec/tree/v1.1.0 (manifest.md, config.md, image-layout.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Sequence

from slim_ray_image.core.image.digests import sha256
from slim_ray_image.core.image.references import RegistryReference, parse_image_reference
from slim_ray_image.core.platforms import Platform
from slim_ray_image.core.timestamp import spelled

MEDIA_TYPE_INDEX = "application/vnd.oci.image.index.v1+json"
MEDIA_TYPE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MEDIA_TYPE_CONFIG = "application/vnd.oci.image.config.v1+json"
MEDIA_TYPE_LAYER = "application/vnd.oci.image.layer.v1.tar"
MEDIA_TYPE_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
# Prefix of the labels that the plugin sets on its containers, and that no image has.
OWN_LABELS = "slim-ray-image."

ANNOTATION_REF_NAME = "org.opencontainers.image.ref.name"
ANNOTATION_BASE_NAME = "org.opencontainers.image.base.name"
ANNOTATION_BASE_DIGEST = "org.opencontainers.image.base.digest"
_ANNOTATION_CONTAINERD_NAME = "io.containerd.image.name"

LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'
# PATH that container engines set where the image config has none.
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Descriptor:
    """An OCI descriptor, which points at a blob (descriptor.md). `size` is in bytes."""

    media_type: str
    digest: str
    size: int

    @property
    def hex(self) -> str:
        return self.digest.partition(":")[2]

    def to_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Descriptor:
        return cls(value["mediaType"], value["digest"], value["size"])


@dataclass(frozen=True)
class BuiltLayer:
    """A layer whose blob was built: its descriptor, its sizes, its distributions, and a name for people."""

    name: str
    kind: str
    descriptor: Descriptor
    diff_id: str  # digest of the uncompressed tar
    unpacked_bytes: int  # sum of the regular files in the layer
    file_count: int
    distributions: tuple[str, ...] = ()
    compressed_bytes_of: tuple[tuple[str, int], ...] = ()  # by distribution
    unpacked_bytes_of: tuple[tuple[str, int], ...] = ()  # by distribution, without bytecode


@dataclass(frozen=True)
class BaseImage:
    """The base image, to which layers are added: its reference, its descriptors and its image config."""

    reference: str  # as the target names it
    source: str  # reference or local layout that it was read from
    manifest_digest: str
    layers: tuple[Descriptor, ...]
    config: str  # the image config, JSON text

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the base image, with the PATH that container engines set if it has none."""
        return {"PATH": _DEFAULT_PATH, **environment_of(json.loads(self.config).get("config"))}


@dataclass(frozen=True)
class ImageSettings:
    """Values that a target sets in the image config's `config`. None keeps the base's value."""

    user: str
    workdir: str
    env: tuple[tuple[str, str], ...]  # replaces entries of the same name
    ports: tuple[int, ...]  # TCP
    labels: tuple[tuple[str, str], ...]
    entrypoint: Optional[tuple[str, ...]]
    cmd: Optional[tuple[str, ...]]
    stop_signal: Optional[str]


@dataclass(frozen=True)
class Image:
    """The built image: its manifest and image config as bytes, and the descriptors of its layers."""

    manifest: bytes
    config: bytes
    layers: tuple[Descriptor, ...]  # the base's first
    platform: Platform

    @property
    def manifest_descriptor(self) -> Descriptor:
        return _describe(MEDIA_TYPE_MANIFEST, self.manifest)

    @property
    def config_descriptor(self) -> Descriptor:
        return _describe(MEDIA_TYPE_CONFIG, self.config)


def encode(value: Any) -> bytes:
    """Return `value` as canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _describe(media_type: str, content: bytes) -> Descriptor:
    return Descriptor(media_type, sha256(content), len(content))


def environment_of(container_config: Optional[Mapping[str, Any]]) -> dict[str, str]:
    """Return the environment variables of an image config's `config`, which may be None (config.md, "Env")."""
    return dict(entry.partition("=")[::2] for entry in (container_config or {}).get("Env") or ())


def _container_config(base: Mapping[str, Any], settings: ImageSettings) -> dict[str, Any]:
    """Return the image config's `config` (config.md, "Properties"): the base's, with the target's values on top."""
    config = dict(base)
    config["User"] = settings.user
    config["WorkingDir"] = settings.workdir
    environment = {**environment_of(base), **dict(settings.env)}
    config["Env"] = [f"{name}={value}" for name, value in environment.items()]
    if settings.ports:
        config["ExposedPorts"] = {
            **(base.get("ExposedPorts") or {}),
            **{f"{port}/tcp": {} for port in settings.ports},
        }
    labels = base.get("Labels") or {}
    # Containers of the image would inherit the base's own labels of the plugin, and look like the plugin's containers.
    foreign = {name: value for name, value in labels.items() if not name.startswith(OWN_LABELS)}
    if settings.labels or foreign != labels:
        config["Labels"] = {**foreign, **dict(settings.labels)}
    if settings.entrypoint is not None:
        config["Entrypoint"] = list(settings.entrypoint)
        # The base's Cmd was meant for the base's Entrypoint; Docker drops it, too.
        config.pop("Cmd", None)
    if settings.cmd is not None:
        config["Cmd"] = list(settings.cmd)
    if settings.stop_signal is not None:
        config["StopSignal"] = settings.stop_signal
    return config


def append_layers(
    base: BaseImage,
    layers: Sequence[BuiltLayer],
    settings: ImageSettings,
    platform: Platform,
    timestamp: int = 0,
) -> Image:
    """Return the image of `base` with `layers` on top; descriptors, diff_ids and history of `base` are kept.

    Args:
        base: An image for `platform`.
        layers: Lowest first.
        settings: Values for the image config's `config`.
        timestamp: When the image was created, in seconds since 1970.

    Returns:
        An image whose manifest has len(base.layers) + len(layers) layers, whose config has as many `diff_ids`, and
        whose `history` has one more entry per layer.

    Spec: manifest.md "layers"; config.md "rootfs", "history"; annotations.md "org.opencontainers.image.base.*".
    """
    config = json.loads(base.config)
    created = spelled(timestamp)
    config["created"] = created
    config["config"] = _container_config(config.get("config") or {}, settings)
    config["rootfs"] = {
        "type": "layers",
        "diff_ids": [*config["rootfs"]["diff_ids"], *(layer.diff_id for layer in layers)],
    }
    config["history"] = [
        # A base without a history gets empty entries, since each layer must have one.
        *(config.get("history") or ({} for _ in base.layers)),
        *(
            {"created": created, "created_by": "slim_ray_image", "comment": layer.name}
            for layer in layers
        ),
    ]
    for docker_only in ("container", "container_config", "docker_version", "id", "parent"):
        config.pop(docker_only, None)
    encoded_config = encode(config)
    descriptors = (*base.layers, *(layer.descriptor for layer in layers))
    annotations = {ANNOTATION_BASE_DIGEST: base.manifest_digest}
    if not base.reference.startswith("oci:"):  # a folder's name means nothing on another machine
        annotations[ANNOTATION_BASE_NAME] = base.reference
    manifest = encode(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE_MANIFEST,
            "config": _describe(MEDIA_TYPE_CONFIG, encoded_config).to_json(),
            "layers": [descriptor.to_json() for descriptor in descriptors],
            "annotations": annotations,
        }
    )
    return Image(manifest, encoded_config, descriptors, platform)


def _index(image: Image, annotations: Iterable[Mapping[str, str]]) -> bytes:
    """Return an image index with one entry for each name of the image, all with the same digest (image-index.md)."""
    platform = {"os": image.platform.os, "architecture": image.platform.architecture}
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE_INDEX,
            "manifests": [
                {
                    **image.manifest_descriptor.to_json(),
                    "annotations": dict(annotation),
                    "platform": platform,
                }
                for annotation in annotations
            ],
        }
    )


def layout_index(image: Image, tags: Sequence[str]) -> bytes:
    """Return index.json of an OCI image layout with `image` under each of `tags` (image-layout.md, "index.json")."""
    return _index(image, ({ANNOTATION_REF_NAME: tag} for tag in tags))


def archive_index(image: Image, references: Sequence[str]) -> bytes:
    """Return index.json of an archive for containerd to load, with the image under each of its full names.

    Args:
        references: Names of the image in registries, `[registry/]repository:tag`.

    Spec: https://github.com/containerd/containerd/blob/v2.0.0/core/images/annotations.go.
    """
    parsed = [parse_image_reference(reference) for reference in references]
    return _index(
        image,
        (
            {ANNOTATION_REF_NAME: name.tag or "latest", _ANNOTATION_CONTAINERD_NAME: name.full_name}
            for name in parsed
            if isinstance(name, RegistryReference)
        ),
    )


def docker_archive_manifest(image: Image, references: Sequence[str]) -> bytes:
    """Return manifest.json, by which any version of `docker load` finds config and layers among an OCI layout's blobs.

    Spec: https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md ("manifest.json").
    """
    return encode(
        [
            {
                "Config": blob_path(image.config_descriptor),
                "RepoTags": list(references),
                "Layers": [blob_path(layer) for layer in image.layers],
            }
        ]
    )


def blob_path(descriptor: Descriptor) -> str:
    """Return the path of a blob in an OCI image layout (image-layout.md, "Blobs")."""
    return f"blobs/sha256/{descriptor.hex}"
