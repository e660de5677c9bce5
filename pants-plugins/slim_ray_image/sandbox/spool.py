"""Stage 4 of 6: keeps the content of a layer's files until they are written: in memory while small, else on disk.

In: streams. Out: `Content`s, which can be read any number of times. All contents of a spool are in memory while their
sum is small, else in one unnamed temporary file.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
from typing import BinaryIO, Iterable, Iterator

_CHUNK_BYTES = 1 << 20
# Enough for the small distributions of a service, so most layers need no temporary file.
_BYTES_IN_MEMORY = 64 << 20


def _spelled(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of `content`, spelled as in the RECORD of a wheel: URL-safe base64 without padding."""
    return _spelled(hashlib.sha256(content).digest())


class Content:
    """The content of one file, kept in a `Spool`, with its size and its SHA-256.

    Attributes:
        size: In bytes.
        sha256: Hash as RECORD spells it: URL-safe base64 without padding.
    """

    def __init__(self, spool: BinaryIO, start: int, size: int, sha256: str) -> None:
        self._spool = spool
        self._start = start
        self.size = size
        self.sha256 = sha256

    def read_at(self, offset: int, byte_count: int) -> bytes:
        """Return `byte_count` bytes from `offset`, or fewer if the content ends before."""
        self._spool.seek(self._start + offset)
        return self._spool.read(max(min(byte_count, self.size - offset), 0))

    def read(self) -> bytes:
        return self.read_at(0, self.size)

    def chunks(self, start: int = 0, end: int = -1) -> Iterator[bytes]:
        """Yield the content's bytes from offset `start` to offset `end`, in chunks; -1 is the end of the content."""
        end = self.size if end < 0 else min(end, self.size)
        for offset in range(start, end, _CHUNK_BYTES):
            yield self.read_at(offset, min(_CHUNK_BYTES, end - offset))

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Reader(self), _CHUNK_BYTES)


class _Reader(io.RawIOBase):
    """A stream that reads a `Content` from its start to its end."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._offset = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def,override]
        found = self._content.read_at(self._offset, len(buffer))
        buffer[: len(found)] = found
        self._offset += len(found)
        return len(found)


def chunks_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a stream from its current position to its end, in chunks."""
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


class Spool:
    """A store for the contents of files: in memory while their sum is small, else in one temporary file."""

    def __init__(self, bytes_in_memory: int = _BYTES_IN_MEMORY) -> None:
        self._file: BinaryIO = tempfile.SpooledTemporaryFile(max_size=bytes_in_memory, dir=".")  # type: ignore[assignment]
        self._end = 0

    def take(self, chunks: Iterable[bytes]) -> Content:
        """Store chunks of bytes as the content of one file, and return it. Finish one content before the next."""
        start, digest = self._end, hashlib.sha256()
        for chunk in chunks:
            # A piece may be read from another content of this spool, which moves the file's position.
            self._file.seek(self._end)
            self._file.write(chunk)
            digest.update(chunk)
            self._end += len(chunk)
        return Content(self._file, start, self._end - start, _spelled(digest.digest()))
