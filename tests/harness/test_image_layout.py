"""Tests of the tests' own validator of image layouts: it must notice each wrong field."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from harness.image_layout import (
    CONFIG,
    GZIP_LAYER,
    INDEX,
    MANIFEST,
    describe,
    digest_of,
    validate_layout,
)

Edit = Callable[[dict[str, Any]], Any]


def make_tar(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


class SampleLayout:
    """A layout of one image with two layers. `edits` change its documents before their digests are computed."""

    def __init__(self, folder: Path, **edits: Edit) -> None:
        self.folder = folder
        self._edits = edits
        (folder / "blobs/sha256").mkdir(parents=True)
        tars = [make_tar("a"), make_tar("b", *(["b"] if "repeat" in edits else []))]
        config = self._blob(
            CONFIG,
            "config",
            {
                "os": "linux",
                "architecture": "amd64",
                "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
                "history": [{"created_by": "1"}, {"empty_layer": True}, {"created_by": "2"}],
            },
        )
        layers = [self.write_blob(GZIP_LAYER, gzip.compress(tar, mtime=0)) for tar in tars]
        manifest = self._blob(
            MANIFEST,
            "manifest",
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers},
        )
        self.blobs = {
            "config": self._path(config),
            "layer": self._path(layers[0]),
            "manifest": self._path(manifest),
        }
        manifest["platform"] = {"os": "linux", "architecture": "amd64"}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}
        (folder / "index.json").write_bytes(self._edited("index", index))
        (folder / "oci-layout").write_bytes(self._edited("marker", {"imageLayoutVersion": "1.0.0"}))

    def _path(self, descriptor: dict[str, Any]) -> Path:
        return self.folder / "blobs" / descriptor["digest"].replace(":", "/")

    def write_blob(self, media_type: str, content: bytes) -> dict[str, Any]:
        descriptor = describe(media_type, content)
        self._path(descriptor).write_bytes(content)
        return descriptor

    def _edited(self, name: str, document: dict[str, Any]) -> bytes:
        edit: Optional[Edit] = self._edits.get(name)
        if edit:
            edit(document)
        return json.dumps(document).encode()

    def _blob(self, media_type: str, name: str, document: dict[str, Any]) -> dict[str, Any]:
        return self.write_blob(media_type, self._edited(name, document))


def put(*path: Any) -> Edit:
    """Return an edit that sets the value at a path of keys to the last argument."""
    *way, last, value = path

    def edit(document: Any) -> None:
        for key in way:
            document = document[key]
        document[last] = value

    return edit


def without(*path: Any) -> Edit:
    """Return an edit that deletes the value at a path of keys."""
    *way, last = path

    def edit(document: Any) -> None:
        for key in way:
            document = document[key]
        del document[last]

    return edit


def reversed_list(*path: Any) -> Edit:
    """Return an edit that reverses the list at a path of keys."""

    def edit(document: Any) -> None:
        for key in path:
            document = document[key]
        document.reverse()

    return edit


OTHER = digest_of(b"other")


def test_valid_layout_has_no_problem(tmp_path: Path) -> None:
    """A correct layout is valid."""
    assert validate_layout(SampleLayout(tmp_path).folder) == []


@pytest.mark.parametrize(
    ("document", "edit", "problem"),
    [
        ("marker", put("imageLayoutVersion", "2.0.0"), "imageLayoutVersion should be '1.0.0'"),
        ("index", put("schemaVersion", 1), "schemaVersion of index.json should be 2"),
        ("index", without("mediaType"), "mediaType of index.json should be"),
        ("index", put("manifests", []), "index.json has no manifest"),
        ("index", put("manifests", 0, "digest", OTHER), "No such file"),
        ("index", put("manifests", 0, "size", 1), "size of manifest 0 should be 1"),
        ("index", put("manifests", 0, "mediaType", INDEX), "mediaType of manifest 0 should be"),
        ("index", put("manifests", 0, "platform", "os", "x"), "os of the config should be 'x'"),
        (
            "index",
            put("manifests", 0, "platform", "architecture", "arm64"),
            "architecture of the config should be 'arm64'",
        ),
        ("manifest", put("schemaVersion", 1), "schemaVersion in manifest 0 should be 2"),
        ("manifest", put("mediaType", INDEX), "mediaType in manifest 0 should be"),
        ("manifest", put("config", "mediaType", MANIFEST), "mediaType of the config should be"),
        ("manifest", put("config", "digest", OTHER), "No such file"),
        ("manifest", put("config", "size", 1), "size of the config should be 1"),
        ("manifest", put("layers", 1, "mediaType", CONFIG), "mediaType of layer 1 is"),
        ("manifest", put("layers", 1, "digest", OTHER), "No such file"),
        ("manifest", put("layers", 1, "size", 1), "size of layer 1 should be 1"),
        ("manifest", reversed_list("layers"), "diff_id of layer 0 should be"),
        ("manifest", without("layers", 1), "number of diff_ids should be 1, but is 2"),
        ("config", put("os", "windows"), "os of the config should be 'linux'"),
        ("config", without("architecture"), "architecture of the config should be 'amd64'"),
        ("config", put("rootfs", "type", "x"), "type of rootfs should be 'layers'"),
        ("config", put("rootfs", "diff_ids", 0, OTHER), "diff_id of layer 0 should be"),
        ("config", without("rootfs", "diff_ids", 0), "number of diff_ids should be 2, but is 1"),
        ("config", without("history", 0), "number of history entries with a layer should be 2"),
        ("config", without("history", 1, "empty_layer"), "number of history entries"),
        ("repeat", put("x", 1), "layer 1 has more than one entry for /b"),
    ],
)
def test_wrong_field_is_noticed(document: str, edit: Edit, problem: str, tmp_path: Path) -> None:
    """One wrong field is noticed, although every digest of its document is right."""
    problems = validate_layout(SampleLayout(tmp_path, **{document: edit}).folder)
    assert any(problem in found for found in problems), problems


@pytest.mark.parametrize("name", ["config", "layer", "manifest"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda content: content[:-1], "size of", id="cut"),
        pytest.param(lambda content: content + b" ", "size of", id="longer"),
        pytest.param(
            lambda content: content[:-9] + b"\0" + content[-8:], "digest of", id="changed"
        ),
    ],
)
def test_wrong_blob_is_noticed(
    name: str, change: Callable[[bytes], bytes], problem: str, tmp_path: Path
) -> None:
    """A blob with another size or digest than its descriptor's is noticed."""
    layout = SampleLayout(tmp_path)
    path = layout.blobs[name]
    path.write_bytes(change(path.read_bytes()))
    assert any(found.startswith(problem) for found in validate_layout(tmp_path))


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_missing_file_is_noticed(name: str, tmp_path: Path) -> None:
    """A layout without one of its two files is not valid."""
    SampleLayout(tmp_path)
    (tmp_path / name).unlink()
    assert f"{name}: No such file or directory" in validate_layout(tmp_path)


def test_unreferenced_blob_is_noticed(tmp_path: Path) -> None:
    """A blob that nothing points at is noticed."""
    layout = SampleLayout(tmp_path)
    descriptor = layout.write_blob(GZIP_LAYER, b"left over")
    name = descriptor["digest"].replace(":", "/")
    assert validate_layout(tmp_path) == [f"nothing points at blobs/{name}"]
