"""Tests of sandbox.image.write_archive."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path
from typing import Sequence

import pytest

from slim_ray_image.core.image.archive import ArchiveFilesRequest
from slim_ray_image.sandbox.image.write_archive import main, write_archive

FILES = {
    "oci-layout": b"{}",
    "index.json": b"index",
    "blobs/sha256/" + "b" * 64: b"second" * 100_000,
    "blobs/sha256/" + "a" * 64: b"first",
}


@pytest.fixture
def files(sandbox: Path) -> list[str]:
    """Write the files of a layout to the working directory; return their names, unsorted."""
    for path, content in FILES.items():
        (sandbox / path).parent.mkdir(parents=True, exist_ok=True)
        (sandbox / path).write_bytes(content)
    return list(FILES)


def digest_of_archive(paths: Sequence[str]) -> str:
    write_archive(paths, "archive.tar")
    return hashlib.sha256(Path("archive.tar").read_bytes()).hexdigest()


def test_archive_holds_the_files_and_nothing_else(files: list[str]) -> None:
    """image.tar has each file with its content, and each folder before the content of the folder."""
    Path("other").write_text("not named")
    main(ArchiveFilesRequest(tuple(files)))
    with tarfile.open("image.tar", "r:") as archive:
        assert archive.getnames() == sorted([*FILES, "blobs", "blobs/sha256"])
        for path, content in FILES.items():
            assert archive.extractfile(path).read() == content  # type: ignore[union-attr]


def test_entries_say_nothing_of_the_machine(files: list[str]) -> None:
    """Owners are 0, times are the epoch, and modes are 0644 and 0755, whatever the files have."""
    Path("index.json").chmod(0o600)
    main(ArchiveFilesRequest(tuple(files)))
    with tarfile.open("image.tar", "r:") as archive:
        for entry in archive:
            assert (entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, "", "")
            assert (entry.mtime, entry.pax_headers) == (0, {})
            assert entry.mode == (0o755 if entry.isdir() else 0o644)


def test_equal_files_are_equal_bytes(files: list[str]) -> None:
    """The order of the names, modes and times do not change the archive."""
    before = digest_of_archive(files)
    for path in files:
        Path(path).chmod(0o755)
        os.utime(path, (1_000_000, 2_000_000))
    assert digest_of_archive(files[::-1]) == before


def test_changed_file_changes_the_archive(files: list[str]) -> None:
    """The archive depends on the content of the files."""
    before = digest_of_archive(files)
    Path("index.json").write_bytes(b"xedni")
    assert digest_of_archive(files) != before
