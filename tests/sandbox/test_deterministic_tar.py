"""Tests of sandbox.layers.deterministic_tar."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Layer, digest_of

from slim_ray_image.sandbox.layers.deterministic_tar import Entry, LayerWriter, directories_of
from slim_ray_image.sandbox.spool import Spool

ENTRIES = (
    Entry("/opt", is_directory=True),
    Entry("/opt/a.txt", content=b"text"),
    Entry("/opt/run", content=b"#!/bin/sh\n", is_executable=True),
    Entry("/opt/link", link="a.txt"),
    Entry("/opt/home", is_directory=True, uid=1000, gid=100),
)


def write(*entries: Entry) -> bytes:
    """Return the blob of a layer of these entries."""
    sink = io.BytesIO()
    with closing(LayerWriter(sink)) as writer:
        for entry in entries:
            writer.add(entry)
    return sink.getvalue()


def test_entries_are_what_they_say() -> None:
    """Files, links and directories are read back unchanged, in the order in which they were added."""
    layer = Layer(write(*ENTRIES))
    assert layer.names == ["opt", "opt/a.txt", "opt/run", "opt/link", "opt/home"]
    assert layer.contents == {"opt/a.txt": b"text", "opt/run": b"#!/bin/sh\n"}
    assert layer.members["opt/link"].linkname == "a.txt"
    assert [member.type for member in layer.members.values()] == [
        tarfile.DIRTYPE,
        tarfile.REGTYPE,
        tarfile.REGTYPE,
        tarfile.SYMTYPE,
        tarfile.DIRTYPE,
    ]


def test_modes_say_directory_executable_or_neither() -> None:
    """Directories, executables, other files and symlinks have one mode each."""
    layer = Layer(write(*ENTRIES))
    assert {name: member.mode for name, member in layer.members.items()} == {
        "opt": 0o755,
        "opt/a.txt": 0o644,
        "opt/run": 0o755,
        "opt/link": 0o777,
        "opt/home": 0o755,
    }


def test_owners_are_root_by_number_unless_given() -> None:
    """Owners are numbers without names, 0 by default."""
    layer = Layer(write(*ENTRIES))
    owners = {
        name: (member.uid, member.gid, member.uname, member.gname)
        for name, member in layer.members.items()
    }
    assert owners.pop("opt/home") == (1000, 100, "", "")
    assert set(owners.values()) == {(0, 0, "", "")}


def test_timestamps_are_the_epoch() -> None:
    """Every entry has the time 0, and no PAX header has another time."""
    layer = Layer(write(*ENTRIES, Entry("/opt/é", content=b"")))
    assert {member.mtime for member in layer.members.values()} == {0}
    headers = [member.pax_headers for member in layer.members.values()]
    assert {key for header in headers for key in header} == {"path"}


def test_gzip_header_has_neither_name_nor_time() -> None:
    """The gzip header is constant: no flags, and so no name; no time; an unknown system."""
    blob = write(*ENTRIES)
    magic, method, flags, time, _, system = struct.unpack("<2sBBLBB", blob[:10])
    assert (magic, method, flags, time, system) == (b"\x1f\x8b", 8, 0, 0, 255)


def test_same_entries_twice_are_the_same_blob() -> None:
    """Equal entries give equal bytes, even compressed."""
    assert write(*ENTRIES) == write(*ENTRIES)


def test_order_of_the_entries_is_the_caller_s() -> None:
    """The writer keeps the order in which entries are added."""
    assert Layer(write(*ENTRIES[::-1])).names == [e.path[1:] for e in ENTRIES[::-1]]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/opt/größe/語.txt", id="not ASCII"),
        pytest.param("/opt/" + "x" * 101, id="long name"),
        pytest.param("/opt/" + "/".join(["directory"] * 30), id="long path"),
        pytest.param("/opt/a b", id="space"),
        pytest.param("/opt/it's", id="quote"),
        pytest.param('/opt/"a"', id="double quotes"),
        pytest.param("/opt/a\u202eb", id="right to left"),
        pytest.param("/opt/a\u2028b", id="line separator"),
    ],
)
def test_any_path_is_kept_whole(path: str) -> None:
    """Paths that do not fit into tar's own fields are kept in PAX headers."""
    layer = Layer(write(Entry(path, content=b"x"), Entry("/opt/link", link=path)))
    assert layer.names == [path[1:], "opt/link"]
    assert layer.members["opt/link"].linkname == path


def test_entry_may_be_of_a_file(tmp_path: Path) -> None:
    """An entry whose content is in a file gives the same bytes as an entry with that content."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"text" * 1000)
    of_file = Entry("/a", file=str(path), is_executable=True)
    assert write(of_file) == write(Entry("/a", content=path.read_bytes(), is_executable=True))
    assert write(of_file, of_file) == write(of_file)


@pytest.mark.parametrize("bytes_in_memory", [1, 1 << 30])
def test_entry_may_be_of_a_spool(sandbox: Path, bytes_in_memory: int) -> None:
    """An entry whose content is in a spool gives the same bytes as an entry with that content."""
    spool = Spool(bytes_in_memory)
    contents = [b"text" * 1_000_000, b"", b"other"]
    entries = [
        Entry(f"/{number}", spooled=spool.take([content]), is_executable=True)
        for number, content in enumerate(contents)
    ]
    given = [
        Entry(f"/{number}", content=content, is_executable=True)
        for number, content in enumerate(contents)
    ]
    assert write(*entries) == write(*given)
    assert write(*entries, *given) == write(*given)


def test_path_is_written_once() -> None:
    """An entry that is added twice is written once, since layers must not have duplicates."""
    layer = Layer(write(*ENTRIES, *ENTRIES))
    assert layer.names == [entry.path[1:] for entry in ENTRIES]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Entry("/opt/a.txt", content=b"other"), id="content"),
        pytest.param(Entry("/opt/a.txt", link="text"), id="link"),
        pytest.param(Entry("/opt/a.txt", is_directory=True), id="directory"),
        pytest.param(Entry("/opt/a.txt", file="a.txt"), id="file"),
        pytest.param(Entry("/opt/a.txt", spooled=Spool().take([b"other"])), id="spool"),
    ],
)
def test_path_with_other_content_is_refused(other: Entry) -> None:
    """A second entry for a path, with other content, is refused."""
    with pytest.raises(ValueError, match="/opt/a.txt"):
        write(Entry("/opt/a.txt", content=b"text"), other)


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85"], ids=ascii)
@pytest.mark.parametrize("kind", [{"content": b""}, {"link": "a"}, {"is_directory": True}], ids=str)
def test_path_with_a_control_character_is_refused(character: str, kind: Any) -> None:
    """A path with a control character is refused, for every kind of entry."""
    with pytest.raises(ValueError, match="A path has control characters: "):
        write(Entry(f"/opt/a{character}b", **kind))


def test_digests_and_sizes_are_those_of_the_bytes() -> None:
    """The digest and size of the blob, and the diff_id of its tar, match the bytes."""
    sink = io.BytesIO()
    writer = LayerWriter(sink)
    for entry in ENTRIES:
        writer.add(entry)
    blob_digest, diff_id, blob_bytes = writer.close()
    blob = sink.getvalue()
    assert (blob_digest, blob_bytes) == (digest_of(blob), len(blob))
    assert diff_id == digest_of(gzip.decompress(blob))
    assert (writer.unpacked_bytes, writer.file_count) == (14, 2)


def test_flush_counts_what_was_added_before_it() -> None:
    """The growth of the blob from flush to flush is the compressed size of the entries in between."""
    noise = random.Random(0)
    sizes = [100, 50_000, 300, 2_000_000, 0]
    writer = LayerWriter(io.BytesIO())
    before, grown = writer.flush(), []
    for number, size in enumerate(sizes):
        writer.add(Entry(f"/{number}", content=bytes(noise.choices(range(256), k=size))))
        now = writer.flush()
        grown.append(now - before)
        before = now
    for size, growth in zip(sizes, grown):
        assert size < growth < size + size // 100 + 300
    _, _, blob_bytes = writer.close()
    assert blob_bytes - before < 300


def test_directories_are_named_once_parents_first() -> None:
    """Every directory from the root down to each path is returned once, with the root and none above it."""
    paths = ["/app/a/b/c.py", "/app/a/d.py", "/app/e.py", "/app/a-b/f.py"]
    assert directories_of(iter(paths), "/app") == ["/app", "/app/a", "/app/a-b", "/app/a/b"]
    assert directories_of(iter([]), "/app") == ["/app"]
