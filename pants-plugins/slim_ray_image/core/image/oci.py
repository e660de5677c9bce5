"""Stage 5 of 6: descriptors, image config and manifest, appended to the base's; no blob is read.

In: the base's manifest and config, the layers that stage 4 built. Out: an `Image`, all of its JSON as exact bytes.
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
# How the names of labels start that containers of the plugin have, and no image.
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
    """What points at a blob. `size` is in bytes (descriptor.md)."""

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
    """A layer whose blob is there: what the sandbox writes as layer.json, and what people call it."""

    name: str
    kind: str
    descriptor: Descriptor
    diff_id: str  # digest of the uncompressed tar
    unpacked_bytes: int  # sum of its regular files
    file_count: int
    distributions: tuple[str, ...] = ()
    compressed_bytes_of: tuple[tuple[str, int], ...] = ()  # by distribution
    unpacked_bytes_of: tuple[tuple[str, int], ...] = ()  # by distribution, without bytecode


@dataclass(frozen=True)
class BaseImage:
    """The image that ours is built on."""

    reference: str  # as the target names it
    source: str  # where it was read from
    manifest_digest: str
    layers: tuple[Descriptor, ...]
    config: str  # the image config, JSON text

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a container of this image; PATH is among them, as engines set it where the config does not."""
        return {"PATH": _DEFAULT_PATH, **environment_of(json.loads(self.config).get("config"))}


@dataclass(frozen=True)
class ImageSettings:
    """What a target says of the image config's `config`. None keeps the base's."""

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
    """An image as bytes and descriptors."""

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
    """Return JSON of one spelling: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _describe(media_type: str, content: bytes) -> Descriptor:
    return Descriptor(media_type, sha256(content), len(content))


def environment_of(container_config: Optional[Mapping[str, Any]]) -> dict[str, str]:
    """Return the environment variables of an image config's `config`, where it has one (config.md, "Env")."""
    return dict(entry.partition("=")[::2] for entry in (container_config or {}).get("Env") or ())


def _container_config(base: Mapping[str, Any], settings: ImageSettings) -> dict[str, Any]:
    """The image config's `config` (config.md, "Properties"): the base's, with what the target says on top."""
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
    # What starts a container of an image would be led to believe that the base's are of the plugin.
    foreign = {name: value for name, value in labels.items() if not name.startswith(OWN_LABELS)}
    if settings.labels or foreign != labels:
        config["Labels"] = {**foreign, **dict(settings.labels)}
    if settings.entrypoint is not None:
        config["Entrypoint"] = list(settings.entrypoint)
        # As Docker does: the base's Cmd was meant for the base's Entrypoint.
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
    """Return `base` with `layers` on top; base descriptors, diff_ids and history are kept as they are.

    Args:
        base: An image for `platform`.
        layers: Lowest first.
        settings: What the target says of how the image runs.
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
        # A base without a history gets empty entries: there is to be one for each layer.
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
    if not base.reference.startswith("oci:"):  # a folder's name says nothing on another machine
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
    """An index with one entry for each name of the image, which all have the same digest (image-index.md)."""
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
    """Return index.json of an OCI image layout that holds `image` as each of `tags` (image-layout.md, "index.json")."""
    return _index(image, ({ANNOTATION_REF_NAME: tag} for tag in tags))


def archive_index(image: Image, references: Sequence[str]) -> bytes:
    """Return index.json of an archive to load: as `layout_index`, and with whole names, which containerd looks for.

    Args:
        references: Of images in registries, `[registry/]repository:tag`.

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
    """Return the manifest.json by which `docker load` of every age finds config and layers among an OCI layout's blobs.

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
    """Return where a blob is in an OCI image layout (image-layout.md, "Blobs")."""
    return f"blobs/sha256/{descriptor.hex}"
