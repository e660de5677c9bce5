"""Tests of sandbox.spool: contents are stored and read back, in memory or on disk."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from conftest import hash_of

from slim_ray_image.sandbox.spool import Content, Spool, chunks_of, sha256_of

# Larger than one piece of a read, and than some of the memory limits below.
LARGE = random.Random(0).getrandbits(8 * 2_500_000).to_bytes(2_500_000, "little")
LIMITS = pytest.mark.parametrize("bytes_in_memory", [1, 1_000, 1 << 30])


@LIMITS
def test_contents_are_what_was_taken(sandbox: Path, bytes_in_memory: int) -> None:
    """Each content is read back completely, any number of times and in any order."""
    spool = Spool(bytes_in_memory)
    given = [b"one", b"", LARGE, b"two", b"x" * 1_001]
    contents = [spool.take([data]) for data in given]
    for content, data in [*zip(contents, given), *zip(contents[::-1], given[::-1])]:
        assert content.read() == data
        assert content.size == len(data)


def test_pieces_make_one_content(sandbox: Path) -> None:
    """A content is the concatenation of its pieces, some of which may be empty."""
    content = Spool().take([b"a", b"", b"bc", LARGE])
    assert content.read() == b"abc" + LARGE
    assert content.sha256 == sha256_of(b"abc" + LARGE)


def test_hash_is_spelled_as_in_record(sandbox: Path) -> None:
    """A hash is URL-safe base64 without padding, as in RECORD."""
    for data in (b"", b"a", LARGE):
        assert f"sha256={Spool().take([data]).sha256}" == hash_of(data)


@LIMITS
def test_range_of_a_content_is_read(sandbox: Path, bytes_in_memory: int) -> None:
    """A range never includes bytes of a neighbouring content, whatever its end."""
    spool = Spool(bytes_in_memory)
    spool.take([b"before"])
    content = spool.take([b"0123456789"])
    spool.take([b"behind"])
    assert content.read_at(2, 3) == b"234"
    assert content.read_at(8, 100) == b"89"
    assert content.read_at(10, 1) == content.read_at(100, 1) == content.read_at(0, 0) == b""


def test_range_of_a_content_comes_in_pieces(sandbox: Path) -> None:
    """A range is yielded in small pieces that together are the range."""
    content = Spool().take([LARGE])
    pieces = list(content.chunks())
    assert b"".join(pieces) == LARGE
    assert len(pieces) == 3
    assert b"".join(content.chunks(5)) == LARGE[5:]
    assert b"".join(content.chunks(5, 2_000_000)) == LARGE[5:2_000_000]
    assert b"".join(content.chunks(5, 3_000_000)) == LARGE[5:]
    assert list(content.chunks(5, 5)) == list(content.chunks(7, 0)) == []


@LIMITS
def test_content_may_be_made_of_another(sandbox: Path, bytes_in_memory: int) -> None:
    """A content can be stored while the content that it is made from is read, such as a stripped library."""
    spool = Spool(bytes_in_memory)
    first = spool.take([LARGE])
    second = spool.take(first.chunks(1))
    third = spool.take(piece for content in (second, first) for piece in content.chunks())
    assert first.read() == LARGE
    assert second.read() == LARGE[1:]
    assert third.read() == LARGE[1:] + LARGE


@LIMITS
def test_contents_are_read_beside_each_other(sandbox: Path, bytes_in_memory: int) -> None:
    """Reading one content does not move the stream of another."""
    spool = Spool(bytes_in_memory)
    contents = [spool.take([LARGE]), spool.take([LARGE[::-1]])]
    streams = [content.open() for content in contents]
    found = [b"", b""]
    while True:
        pieces = [stream.read(700_001) for stream in streams]
        if not any(pieces):
            break
        found = [before + piece for before, piece in zip(found, pieces)]
    assert found == [LARGE, LARGE[::-1]]


def test_stream_comes_in_pieces(sandbox: Path) -> None:
    """A file of any size is read in pieces."""
    Path("large").write_bytes(LARGE)
    with open("large", "rb") as file:
        file.read(10)
        pieces = list(chunks_of(file))
    assert b"".join(pieces) == LARGE[10:]
    assert max(map(len, pieces)) < len(LARGE) / 2


def test_what_is_larger_than_the_memory_is_in_a_file_without_a_name(sandbox: Path) -> None:
    """Contents beyond the memory limit are in an unnamed file, so that a kept sandbox contains no such file."""
    spool = Spool(1_000)
    assert files_of_this_process(sandbox) == 0
    content = spool.take([LARGE])
    assert files_of_this_process(sandbox) == 1
    assert os.listdir(sandbox) == []
    assert isinstance(content, Content) and content.read() == LARGE


def files_of_this_process(folder: Path) -> int:
    """Return the number of this process's open files in a folder."""
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link).startswith(f"{folder}/") for link in links if os.path.islink(link))
