"""Tests of sandbox.check.unpack_layer."""

from __future__ import annotations

from pathlib import Path

from conftest import make_layer_tar, tar_directory, tar_file, tar_symlink

from slim_ray_image.core.check.layer_contents import UnpackRequest
from slim_ray_image.sandbox.check.unpack_layer import main

SITE = "opt/venv/lib/python3.10/site-packages"


def test_regular_files_below_the_folder_are_unpacked(sandbox: Path) -> None:
    """Files below the folder keep relative paths and executable bits; links and other files are omitted."""
    blob = make_layer_tar(
        Path("layer.tar.gz"),
        tar_directory(SITE),
        tar_file(f"{SITE}/a.py", "a"),
        tar_file(f"{SITE}/pkg/tool", "tool", 0o755),
        tar_symlink(f"{SITE}/link", "a.py"),
        tar_file(f"{SITE}-other/b.py"),
        tar_file("opt/venv/bin/ray"),
    )
    main(UnpackRequest(blob, f"/{SITE}"))
    found = {
        path.relative_to("files").as_posix(): path.stat().st_mode & 0o777
        for path in Path("files").rglob("*")
        if path.is_file()
    }
    assert found == {"a.py": 0o644, "pkg/tool": 0o755}
    assert Path("files/pkg/tool").read_text() == "tool"


def test_layer_without_such_files_gives_an_empty_folder(sandbox: Path) -> None:
    """A layer without files below the folder, such as the layer `runtime`, gives an empty folder."""
    blob = make_layer_tar(Path("layer.tar.gz"), tar_file("usr/local/bin/wget"))
    main(UnpackRequest(blob, f"/{SITE}"))
    assert list(Path("files").iterdir()) == []
