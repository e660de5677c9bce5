"""Tests of core.base.base_manifest."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from conftest import (
    CONFIG,
    GZIP_LAYER,
    INDEX,
    MANIFEST,
    as_json,
    digest_of,
    error_text,
    make_base_config,
    make_base_manifest,
)

from slim_ray_image.core.base.base_manifest import (
    IndexEntry,
    image_of,
    parse_base_image,
    parse_manifest,
    platform_error,
)
from slim_ray_image.core.image.oci import BaseImage, Descriptor
from slim_ray_image.core.platforms import LINUX_AMD64

REFERENCE = "python:3.10-slim"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"


def parse(manifest: Any, config: Any) -> BaseImage:
    manifest, config = (v if isinstance(v, bytes) else as_json(v) for v in (manifest, config))
    return parse_base_image(REFERENCE, "a mirror", manifest, config, LINUX_AMD64)


def entry(number: int, platform: Optional[str], media_type: str = MANIFEST) -> IndexEntry:
    descriptor = Descriptor(media_type, digest_of(str(number).encode()), number)
    return IndexEntry(descriptor, platform, None)


def as_entry(number: int, **changes: Any) -> dict[str, Any]:
    """Return an entry of an index as a JSON object."""
    return {**entry(number, None).descriptor.to_json(), **changes}


# --- Manifests and indexes


@pytest.mark.parametrize("media_type", [MANIFEST, DOCKER_MANIFEST, None])
def test_manifest_names_its_config(media_type: Optional[str]) -> None:
    """The manifest of an image has no entries, and an OCI manifest need not have a media type."""
    config = as_json(make_base_config())
    manifest = make_base_manifest(config, mediaType=media_type)
    parsed = parse_manifest(
        REFERENCE, as_json({key: value for key, value in manifest.items() if value})
    )
    assert parsed.entries is None
    assert parsed.config == Descriptor(CONFIG, digest_of(config), len(config))


@pytest.mark.parametrize("media_type", [{"mediaType": INDEX}, {"mediaType": DOCKER_INDEX}, {}])
def test_index_names_images_with_their_platforms(media_type: dict[str, str]) -> None:
    """An entry has a tag if the index gives one, and a platform if the index gives both parts of it."""
    platform = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    tags = {"annotations": {"org.opencontainers.image.ref.name": "3.10"}}
    rows = [
        as_entry(1, platform=platform),
        as_entry(2, platform={"os": "linux"}, **tags),
        as_entry(3, platform=None, annotations=None),
    ]
    index = parse_manifest(
        REFERENCE, as_json({**media_type, "schemaVersion": 2, "manifests": rows})
    )
    assert index.entries == (
        entry(1, "linux/arm64"),
        IndexEntry(entry(2, None).descriptor, None, "3.10"),
        entry(3, None),
    )


def test_index_of_nothing_has_no_entries() -> None:
    """An index without manifests is still an index."""
    assert parse_manifest(REFERENCE, as_json({"mediaType": INDEX})).entries == ()


@pytest.mark.parametrize(
    ("content", "evidence"),
    [
        pytest.param(
            b"<html>", "its manifest: Expecting value: line 1 column 1 (char 0)", id="no JSON"
        ),
        pytest.param(b"[]", "its manifest: it is no JSON object", id="list"),
        pytest.param(
            b'{"schemaVersion": 1}', "its manifest: schemaVersion is not 2", id="schema 1"
        ),
        pytest.param(
            b'{"manifests": [{}]}', "its index lacks or misuses 'mediaType'", id="no descriptor"
        ),
        pytest.param(
            b'{"manifests": 1}',
            "its index lacks or misuses 'int' object is not iterable",
            id="entries are a number",
        ),
        pytest.param(
            b'{"manifests": ["x"]}',
            "its index lacks or misuses 'str' object has no attribute 'get'",
            id="entry is a text",
        ),
        pytest.param(
            b'{"manifests": []}',
            f"its manifest has the media type {INDEX}",
            id="index in the place of a manifest",
        ),
        pytest.param(b"{}", "its manifest lacks or misuses 'config'", id="no config"),
        pytest.param(
            b'{"config": {}}', "its manifest lacks or misuses 'mediaType'", id="config of no type"
        ),
    ],
)
def test_what_is_no_manifest_is_an_error(content: bytes, evidence: str) -> None:
    """Content that is not a manifest is refused, and the error has the reason."""
    assert error_text(lambda: parse_manifest(REFERENCE, content).config) == (
        "The base image python:3.10-slim is not an OCI or Docker image.\n"
        "\n"
        f"  * {evidence}\n"
        "\n"
        "To fix, name an OCI or Docker image in `base_image`."
    )


@pytest.mark.parametrize(
    ("platforms", "expected"),
    [
        pytest.param(["linux/arm64", "linux/amd64"], 1, id="its platform"),
        pytest.param(["linux/amd64", "linux/amd64"], 0, id="the first of two"),
        pytest.param(["windows/amd64", "linux/arm64", None], None, id="other platforms"),
        pytest.param([], None, id="empty index"),
    ],
)
def test_image_of_an_index_is_selected_by_platform(
    platforms: list[Optional[str]], expected: Optional[int]
) -> None:
    """The first image for the platform is selected; without one, nothing is."""
    entries = [entry(number, platform) for number, platform in enumerate(platforms)]
    selected = image_of(entries, LINUX_AMD64)
    assert selected == (None if expected is None else entries[expected].descriptor)


def test_platforms_that_are_there_are_told() -> None:
    """The error has the known platforms of the index, sorted."""
    entries = [entry(1, "linux/s390x"), entry(2, None), entry(3, "linux/arm64")]
    assert str(platform_error(REFERENCE, LINUX_AMD64, entries)) == (
        "The base image python:3.10-slim has no image for linux/amd64.\n"
        "\n"
        "  * it has linux/arm64\n"
        "  * it has linux/s390x\n"
        "\n"
        "To fix, name a base image of that platform in `base_image`."
    )


# --- Reading a base


def test_base_is_read_from_manifest_and_config() -> None:
    """A base has the layers of the manifest, the digest of the manifest's bytes, and the unchanged config."""
    config = as_json(make_base_config())
    manifest = as_json(make_base_manifest(config))
    assert parse(manifest, config) == BaseImage(
        reference=REFERENCE,
        source="a mirror",
        manifest_digest=digest_of(manifest),
        layers=(
            Descriptor(GZIP_LAYER, digest_of(b"blob 1"), 6),
            Descriptor(GZIP_LAYER, digest_of(b"blob 2"), 6),
        ),
        config=config.decode(),
    )


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", GZIP_LAYER),
        (
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.oci.image.layer.v1.tar",
        ),
        ("application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar"),
    ],
)
def test_layers_of_docker_become_oci_layers(media_type: str, expected: str) -> None:
    """Docker's media types are replaced by OCI's for the same bytes; digest and size stay."""
    config = as_json(make_base_config())
    manifest = make_base_manifest(config)
    manifest["layers"][1]["mediaType"] = media_type
    assert parse(manifest, config).layers[1] == Descriptor(expected, digest_of(b"blob 2"), 6)


@pytest.mark.parametrize(
    ("manifest_changes", "config_changes", "evidence"),
    [
        pytest.param({"layers": None}, {}, "'NoneType' object is not iterable", id="no layers"),
        pytest.param({"layers": [{}]}, {}, "'mediaType'", id="layer without a media type"),
        pytest.param({}, {"rootfs": {}}, "'diff_ids'", id="no diff_ids"),
        pytest.param(
            {},
            {"rootfs": {"diff_ids": None}},
            "'NoneType' object is not iterable",
            id="diff_ids are null",
        ),
        pytest.param(
            {}, {"rootfs": []}, "list indices must be integers or slices, not str", id="rootfs"
        ),
    ],
)
def test_base_that_is_no_image_is_an_error(
    manifest_changes: dict[str, Any], config_changes: dict[str, Any], evidence: str
) -> None:
    """A manifest or a config without a required field is refused, and the error names the field."""
    config = as_json(make_base_config(**config_changes))
    manifest = make_base_manifest(config, **manifest_changes)
    assert error_text(lambda: parse(manifest, config)) == (
        "The base image python:3.10-slim is not an OCI or Docker image.\n"
        "\n"
        f"  * its manifest or config lacks or misuses {evidence}\n"
        "\n"
        "To fix, name an OCI or Docker image in `base_image`."
    )


@pytest.mark.parametrize("broken", ["manifest", "config"])
@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", b"[]", b'"text"'])
def test_base_that_is_no_json_object_is_an_error(broken: str, content: bytes) -> None:
    """A manifest or a config that is not a JSON object is refused with the same message."""
    config = as_json(make_base_config())
    parts = {"manifest": as_json(make_base_manifest(config)), "config": config, broken: content}
    text = error_text(lambda: parse(parts["manifest"], parts["config"]))
    assert text.startswith(
        "The base image python:3.10-slim is not an OCI or Docker image.\n"
        "\n"
        "  * its manifest or config lacks or misuses "
    )


def test_base_of_another_platform_is_an_error() -> None:
    """A base for another platform is refused, and the error has both platforms."""
    config = as_json(make_base_config(architecture="arm64"))
    assert error_text(lambda: parse(make_base_manifest(config), config)) == (
        "The base image python:3.10-slim is for linux/arm64, but the image is for linux/amd64.\n"
        "\n"
        "To fix, name an OCI or Docker image of that platform in `base_image`."
    )


def test_base_with_other_numbers_of_layers_and_diff_ids_is_an_error() -> None:
    """A base whose numbers of layers and diff_ids differ is refused."""
    config = as_json(make_base_config(rootfs={"type": "layers", "diff_ids": ["sha256:1"]}))
    assert error_text(lambda: parse(make_base_manifest(config), config)) == (
        "The base image python:3.10-slim is not valid: it has 2 layers and 1 diff_ids.\n"
        "\n"
        "To fix, name an OCI or Docker image of that platform in `base_image`."
    )


def test_base_with_unreadable_layers_is_an_error() -> None:
    """Layers of unsupported media types are refused, and the error has each type once."""
    config = as_json(make_base_config())
    manifest = make_base_manifest(config)
    for layer in manifest["layers"]:
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+zstd"
    assert error_text(lambda: parse(manifest, config)) == (
        "The base image python:3.10-slim has layers that cannot be read.\n"
        "\n"
        "  * media type application/vnd.oci.image.layer.v1.tar+zstd\n"
        "\n"
        "To fix, name a base image whose layers are tar or tar+gzip."
    )
