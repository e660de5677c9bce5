"""The base image in a local OCI image layout: reading it, and the whole text of each error."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import pytest
from conftest import Golden
from pants.testutil.rule_runner import RuleRunner

from rules.rule_runner import OPTIONS, error_text, file_contents
from slim_ray_image.base_image import BaseBlobs, BaseBlobsRequest, BaseImageRequest
from slim_ray_image.core.image.oci import BaseImage, Descriptor

PLATFORM = "linux/amd64"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Layout:
    """An OCI image layout in the making: blobs go in, index.json last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add_blob(self, media_type: str, content: bytes) -> dict[str, Any]:
        """Add a blob and return its descriptor."""
        name = hashlib.sha256(content).hexdigest()
        (self.path / "blobs" / "sha256" / name).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}

    def add_json(self, media_type: str, value: Any) -> dict[str, Any]:
        return self.add_blob(media_type, json.dumps(value, sort_keys=True).encode())

    def add_image(
        self,
        *,
        architecture: str = "amd64",
        layers: Sequence[bytes] = (b"one", b"two"),
        media_type: str = MANIFEST,
        layer_media_type: str = LAYER,
        config: Optional[Mapping[str, Any]] = None,
    ) -> dict[str, Any]:
        """Add an image and return its manifest's descriptor."""
        default = {
            "os": "linux",
            "architecture": architecture,
            "rootfs": {"type": "layers", "diff_ids": ["sha256:x"] * len(layers)},
        }
        return self.add_json(
            media_type,
            {
                "schemaVersion": 2,
                "config": self.add_json("application/json", default if config is None else config),
                "layers": [self.add_blob(layer_media_type, layer) for layer in layers],
            },
        )

    def write_index(self, *manifests: dict[str, Any]) -> None:
        self.write_index_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))

    def write_index_text(self, text: str) -> None:
        (self.path / "index.json").write_text(text)


def tagged(descriptor: dict[str, Any], tag: str) -> dict[str, Any]:
    return {**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}}


def on(descriptor: dict[str, Any], architecture: str) -> dict[str, Any]:
    return {**descriptor, "platform": {"os": "linux", "architecture": architecture}}


@pytest.fixture
def layout(rule_runner: RuleRunner) -> Layout:
    """An empty layout at `base` in the repository."""
    return Layout(Path(rule_runner.build_root, "base"))


def read_base(rule_runner: RuleRunner, reference: str = "oci:base") -> BaseImage:
    return rule_runner.request(BaseImage, [BaseImageRequest(reference, PLATFORM)])


def base_error(rule_runner: RuleRunner, reference: str = "oci:base") -> str:
    return error_text(rule_runner, BaseImage, [BaseImageRequest(reference, PLATFORM)])


def blob_path(layout: Layout, descriptor: Mapping[str, Any]) -> Path:
    return layout.path / "blobs" / "sha256" / descriptor["digest"].partition(":")[2]


def test_image_in_a_layout_is_read(rule_runner: RuleRunner, layout: Layout) -> None:
    """Digest, layers and config are exactly those of the files."""
    manifest = layout.add_image()
    layout.write_index(manifest)
    base = read_base(rule_runner)
    assert (base.reference, base.source) == ("oci:base", "oci:base")
    assert base.manifest_digest == manifest["digest"]
    assert base.layers == (
        Descriptor(LAYER, f"sha256:{hashlib.sha256(b'one').hexdigest()}", 3),
        Descriptor(LAYER, f"sha256:{hashlib.sha256(b'two').hexdigest()}", 3),
    )
    assert json.loads(base.config)["architecture"] == "amd64"


def test_image_of_docker_is_read_as_an_oci_image(rule_runner: RuleRunner, layout: Layout) -> None:
    """Docker's media types denote the same bytes, and our manifest uses the OCI media types instead."""
    layout.write_index(layout.add_image(media_type=DOCKER_MANIFEST, layer_media_type=DOCKER_LAYER))
    assert {layer.media_type for layer in read_base(rule_runner).layers} == {LAYER}


def test_tag_selects_one_of_several_images(rule_runner: RuleRunner, layout: Layout) -> None:
    """The text after the path is the tag in the layout's index."""
    first, second = layout.add_image(layers=[b"1"]), layout.add_image(layers=[b"2"])
    layout.write_index(tagged(first, "3.10"), tagged(second, "3.11"))
    with_platform = [on(tagged(first, "3.10"), "amd64"), on(tagged(second, "3.11"), "amd64")]
    for manifests in ([tagged(first, "3.10"), tagged(second, "3.11")], with_platform):
        layout.write_index(*manifests)
        rule_runner.set_options(OPTIONS)
        assert read_base(rule_runner, "oci:base:3.11").manifest_digest == second["digest"]
        assert read_base(rule_runner, "oci:base:3.10").manifest_digest == first["digest"]


@pytest.mark.parametrize("nested", [False, True], ids=["index", "nested-index"])
def test_platform_selects_one_of_several_images(
    rule_runner: RuleRunner, layout: Layout, nested: bool
) -> None:
    """An image index, in index.json itself or in a blob, is searched by platform, and attestations are skipped."""
    ours, other = layout.add_image(), layout.add_image(architecture="arm64")
    attestation = {
        **layout.add_image(layers=[b"statement"]),
        "platform": {"os": "unknown", "architecture": "unknown"},
    }
    manifests = [on(other, "arm64"), on(ours, "amd64"), attestation]
    if nested:
        layout.write_index(tagged(layout.add_json(INDEX, {"manifests": manifests}), "3.10"))
    else:
        layout.write_index(*manifests)
    reference = "oci:base:3.10" if nested else "oci:base"
    assert read_base(rule_runner, reference).manifest_digest == ours["digest"]


def test_path_may_be_absolute(rule_runner: RuleRunner, tmp_path: Path) -> None:
    """A layout may be outside the repository."""
    layout = Layout(tmp_path / "base")
    layout.write_index(layout.add_image())
    assert read_base(rule_runner, f"oci:{layout.path}").layers


def test_source_of_a_reference_can_be_a_layout(rule_runner: RuleRunner, layout: Layout) -> None:
    """`base_image_sources` names the source of a base, and the image still has the target's reference."""
    layout.write_index(layout.add_image())
    rule_runner.set_options(
        [*OPTIONS, "--slim-ray-base-image-sources={'python:3.10-slim': 'oci:base'}"]
    )
    base = read_base(rule_runner, "python:3.10-slim")
    assert (base.reference, base.source) == ("python:3.10-slim", "oci:base")


SOURCES = "--slim-ray-base-image-sources={'python:3.10-slim': 'oci:base'}"


@pytest.mark.parametrize("is_index", [False, True], ids=["manifest", "index"])
def test_pinned_tag_is_read_from_the_source_of_the_tag(
    rule_runner: RuleRunner, layout: Layout, is_index: bool
) -> None:
    """A digest without its own entry in `base_image_sources` selects its image among the images of the tag's source."""
    ours, other = layout.add_image(), layout.add_image(layers=[b"other"])
    pinned = ours
    if is_index:
        pinned = layout.add_json(INDEX, {"schemaVersion": 2, "manifests": [on(ours, "amd64")]})
    layout.write_index(other, pinned)
    rule_runner.set_options([*OPTIONS, SOURCES])
    base = read_base(rule_runner, f"python:3.10-slim@{pinned['digest']}")
    assert base.manifest_digest == ours["digest"]


def test_source_without_the_pinned_image_is_an_error(
    rule_runner: RuleRunner, layout: Layout, golden: Golden
) -> None:
    """An image from the tag's source is rejected if it does not have the pinned digest."""
    layout.write_index(layout.add_image())
    rule_runner.set_options([*OPTIONS, SOURCES])
    text = base_error(rule_runner, f"python:3.10-slim@sha256:{'0' * 64}")
    golden.check("errors/base/base-source-without-the-digest.txt", text)


def test_layout_is_read_anew_in_each_session(rule_runner: RuleRunner, layout: Layout) -> None:
    """A layout that was written again is read again, although Pants does not watch it."""
    layout.write_index(layout.add_image(layers=[b"old"]))
    before = read_base(rule_runner)
    layout.write_index(layout.add_image(layers=[b"new"]))
    rule_runner.set_options(OPTIONS)
    assert read_base(rule_runner).manifest_digest != before.manifest_digest


def test_layers_are_read_into_a_layout(rule_runner: RuleRunner, layout: Layout) -> None:
    """Each layer of the base is at its path of an OCI image layout."""
    layout.write_index(layout.add_image(layers=[b"first layer", b"second layer"]))
    blobs = rule_runner.request(BaseBlobs, [BaseBlobsRequest(read_base(rule_runner))])
    assert file_contents(rule_runner, blobs.tree) == {
        f"blobs/sha256/{hashlib.sha256(content).hexdigest()}": content
        for content in (b"first layer", b"second layer")
    }


def test_missing_layout_is_named(rule_runner: RuleRunner) -> None:
    """The message shows how to create a layout and which folder a relative path starts from."""
    assert base_error(rule_runner, "oci:nowhere:3.10") == (
        "The base image oci:nowhere:3.10 is not a readable OCI image layout.\n\n"
        "  * index.json: No such file or directory\n\n"
        "To fix, do one of the following:\n"
        "  * make the layout, for example with `skopeo copy docker://python:3.10-slim oci:FOLDER:3.10-slim`\n"
        "  * correct the path; a relative path starts at the build root"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "it has no manifests"),
        ('{"manifests": 1}', "it has no manifests"),
        ('{"manifests": [{}]}', "it lacks 'mediaType'"),
    ],
    ids=["empty", "cut", "list", "no-manifests", "no-descriptor"],
)
def test_broken_index_is_named(
    rule_runner: RuleRunner, layout: Layout, text: str, problem: str
) -> None:
    """An index.json that is not valid is the same mistake, and the message describes the fault in it."""
    layout.write_index_text(text)
    assert base_error(rule_runner) == (
        "The base image oci:base is not a readable OCI image layout.\n\n"
        f"  * index.json: {problem}\n\n"
        "To fix, do one of the following:\n"
        "  * make the layout, for example with `skopeo copy docker://python:3.10-slim oci:FOLDER:3.10-slim`\n"
        "  * correct the path; a relative path starts at the build root"
    )


def test_tag_that_the_layout_lacks_is_refused(rule_runner: RuleRunner, layout: Layout) -> None:
    """The message lists the tags in the layout."""
    manifest = layout.add_image()
    layout.write_index(tagged(manifest, "3.11"), tagged(manifest, "3.10"))
    assert base_error(rule_runner, "oci:base:3.12") == (
        "The base image oci:base:3.12 was not found.\n\n"
        "  * the layout has the tag '3.10'\n"
        "  * the layout has the tag '3.11'\n\n"
        "To fix, append one of the layout's tags to the path, or no tag if the layout has none."
    )


def test_tag_of_a_layout_without_tags_is_refused(rule_runner: RuleRunner, layout: Layout) -> None:
    """The message does not invent a tag."""
    layout.write_index(layout.add_image())
    assert base_error(rule_runner, "oci:base:3.12") == (
        "The base image oci:base:3.12 was not found.\n\n"
        "  * the layout has no tags\n\n"
        "To fix, append one of the layout's tags to the path, or no tag if the layout has none."
    )


def test_several_images_without_a_choice_are_refused(
    rule_runner: RuleRunner, layout: Layout
) -> None:
    """Without a tag, a layout with two images for the platform is an error, because neither is preferred."""
    manifests = [layout.add_image(layers=[b"1"]), layout.add_image(layers=[b"2"])]
    layout.write_index(
        on(tagged(manifests[0], "3.11"), "amd64"), on(tagged(manifests[1], "3.10"), "amd64")
    )
    assert base_error(rule_runner) == (
        "The base image oci:base matches several images for linux/amd64 in the layout.\n\n"
        "  * the layout has the tag '3.10'\n"
        "  * the layout has the tag '3.11'\n\n"
        "To fix, append one of the layout's tags to the path."
    )


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_missing_blob_is_named(rule_runner: RuleRunner, layout: Layout, which: str) -> None:
    """The message has the digest of the missing blob."""
    manifest = layout.add_image()
    layout.write_index(manifest)
    descriptor = manifest
    if which == "config":
        descriptor = json.loads(blob_path(layout, manifest).read_text())["config"]
    blob_path(layout, descriptor).unlink()
    assert base_error(rule_runner) == (
        "The OCI image layout oci:base lacks a blob.\n\n"
        f"  * {descriptor['digest']}: No such file or directory\n\n"
        "To fix, create the complete layout again."
    )


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_blob_with_other_bytes_is_refused(
    rule_runner: RuleRunner, layout: Layout, which: str
) -> None:
    """A blob that does not match its digest is rejected before anything is built."""
    manifest = layout.add_image()
    layout.write_index(manifest)
    descriptor = manifest
    if which == "config":
        descriptor = json.loads(blob_path(layout, manifest).read_text())["config"]
    blob_path(layout, descriptor).write_bytes(b"{}")
    found = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    assert base_error(rule_runner) == (
        "The content of the base image oci:base does not match its digest.\n\n"
        f"  * a blob should be {descriptor['digest']}, but is {found}\n\n"
        "To fix, make the layout again."
    )


def test_layout_without_the_platform_is_refused(rule_runner: RuleRunner, layout: Layout) -> None:
    """The message lists the platforms in the layout."""
    layout.write_index(
        on(layout.add_image(architecture="s390x"), "s390x"),
        on(layout.add_image(architecture="arm64"), "arm64"),
    )
    assert base_error(rule_runner) == (
        "The base image oci:base has no image for linux/amd64.\n\n"
        "  * it has linux/arm64\n"
        "  * it has linux/s390x\n\n"
        "To fix, name a base image of that platform in `base_image`."
    )


def test_image_that_is_for_another_platform_is_refused(
    rule_runner: RuleRunner, layout: Layout
) -> None:
    """If the index does not state the platform, the config decides."""
    layout.write_index(layout.add_image(architecture="arm64"))
    assert base_error(rule_runner) == (
        "The base image oci:base is for linux/arm64, but the image is for linux/amd64.\n\n"
        "To fix, name an OCI or Docker image of that platform in `base_image`."
    )


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        ({"schemaVersion": 2}, "'config'"),
        ({"config": {"digest": "sha256:0"}}, "'mediaType'"),
        ({"config": 1}, "'int' object is not subscriptable"),
    ],
    ids=["no-config", "no-media-type", "config-number"],
)
def test_manifest_of_no_image_is_refused(
    rule_runner: RuleRunner, layout: Layout, manifest: Any, problem: str
) -> None:
    """A JSON blob that is not an image manifest is named with the keys that it lacks."""
    layout.write_index(layout.add_json(MANIFEST, manifest))
    assert base_error(rule_runner) == (
        "The base image oci:base is not an OCI or Docker image.\n\n"
        f"  * its manifest lacks or misuses {problem}\n\n"
        "To fix, name an OCI or Docker image in `base_image`."
    )


@pytest.mark.parametrize("media_type", [MANIFEST, INDEX], ids=["manifest", "index"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"{", "Expecting property name"), (b"[]", "it is no JSON object")],
    ids=["cut", "list"],
)
def test_manifest_or_index_that_is_no_json_object_is_refused(
    rule_runner: RuleRunner, layout: Layout, media_type: str, content: bytes, problem: str
) -> None:
    """A blob that the layout's index points at can match its digest and still be damaged."""
    layout.write_index(layout.add_blob(media_type, content))
    assert base_error(rule_runner).startswith(
        f"The base image oci:base is not an OCI or Docker image.\n\n  * its manifest: {problem}"
    )


def test_index_that_an_index_points_at_must_be_one(rule_runner: RuleRunner, layout: Layout) -> None:
    """An index nested in an index of index.json is rejected; an index without images has none for the platform."""
    inner = layout.add_json(INDEX, {"manifests": []})
    layout.write_index(layout.add_json(INDEX, {"manifests": [on(inner, "amd64")]}))
    assert f"  * its manifest has the media type {INDEX}\n" in base_error(rule_runner)
    layout.write_index(inner)
    rule_runner.set_options(OPTIONS)
    assert base_error(rule_runner) == (
        "The base image oci:base has no image for linux/amd64.\n\n"
        "To fix, name a base image of that platform in `base_image`."
    )


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"os": "linux", "architecture": "amd64"}, "'rootfs'"),
        ({"rootfs": {"diff_ids": []}}, "'os'"),
    ],
    ids=["no-rootfs", "no-platform"],
)
def test_config_of_no_image_is_refused(
    rule_runner: RuleRunner, layout: Layout, config: Mapping[str, Any], problem: str
) -> None:
    """An artifact, such as a chart or a signature, has a manifest too, but no image config."""
    layout.write_index(layout.add_image(config=config))
    assert base_error(rule_runner) == (
        "The base image oci:base is not an OCI or Docker image.\n\n"
        f"  * its manifest or config lacks or misuses {problem}\n\n"
        "To fix, name an OCI or Docker image in `base_image`."
    )


def test_image_that_contradicts_itself_is_refused(rule_runner: RuleRunner, layout: Layout) -> None:
    """An image is not valid unless each layer has a diff_id."""
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": ["sha256:x"]},
    }
    layout.write_index(layout.add_image(config=config))
    assert base_error(rule_runner) == (
        "The base image oci:base is not valid: it has 2 layers and 1 diff_ids.\n\n"
        "To fix, name an OCI or Docker image of that platform in `base_image`."
    )


def test_layers_of_an_unknown_kind_are_refused(rule_runner: RuleRunner, layout: Layout) -> None:
    """Layers that the plugin cannot read are rejected before anything is built."""
    layout.write_index(
        layout.add_image(layer_media_type="application/vnd.oci.image.layer.v1.tar+zstd")
    )
    assert base_error(rule_runner) == (
        "The base image oci:base has layers that cannot be read.\n\n"
        "  * media type application/vnd.oci.image.layer.v1.tar+zstd\n\n"
        "To fix, name a base image whose layers are tar or tar+gzip."
    )


def test_path_may_hold_what_a_url_encodes(rule_runner: RuleRunner) -> None:
    """A folder with a space or an umlaut is read like any other, including its layers."""
    layout = Layout(Path(rule_runner.build_root, "bäse images", "3.10"))
    layout.write_index(layout.add_image(layers=[b"a layer in a strange folder"]))
    base = read_base(rule_runner, "oci:bäse images/3.10")
    blobs = rule_runner.request(BaseBlobs, [BaseBlobsRequest(base)])
    assert list(file_contents(rule_runner, blobs.tree).values()) == [b"a layer in a strange folder"]


def test_missing_layer_is_named(rule_runner: RuleRunner, layout: Layout) -> None:
    """A missing layer is reported as the user's mistake, like any other missing blob."""
    content = b"a layer that no test ever wrote before: missing"
    layout.write_index(layout.add_image(layers=[b"one", content]))
    base = read_base(rule_runner)
    blob_path(layout, base.layers[1].to_json()).unlink()
    assert error_text(rule_runner, BaseBlobs, [BaseBlobsRequest(base)]) == (
        "The OCI image layout oci:base lacks a blob.\n\n"
        f"  * {base.layers[1].digest}: No such file or directory\n\n"
        "To fix, create the complete layout again."
    )


def test_layer_with_other_bytes_is_refused(rule_runner: RuleRunner, layout: Layout) -> None:
    """A layer that does not match its digest is rejected before anything is built."""
    content = b"a layer that no test ever wrote before: other bytes"
    layout.write_index(layout.add_image(layers=[content]))
    base = read_base(rule_runner)
    other = b"x" * len(content)
    blob_path(layout, base.layers[0].to_json()).write_bytes(other)
    assert error_text(rule_runner, BaseBlobs, [BaseBlobsRequest(base)]) == (
        "The content of the base image oci:base does not match its digest.\n\n"
        f"  * a blob should be {base.layers[0].digest}, but is sha256:{hashlib.sha256(other).hexdigest()}\n\n"
        "To fix, make the layout again."
    )
