"""Stage 4 of 6: the content of a layer's files before they are written, in little memory whatever its size.

In: streams. Out: `Content`s, which are read again as often as it takes: in memory as long as all is small, else in one
file without a name.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
from typing import BinaryIO, Iterable, Iterator

_CHUNK_BYTES = 1 << 20
# Enough for the small distributions of a service, so that most layers write no file.
_BYTES_IN_MEMORY = 64 << 20


def _spelled(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 as `Content` has it."""
    return _spelled(hashlib.sha256(content).digest())


class Content:
    """The content of a file.

    Attributes:
        size: In bytes.
        sha256: As RECORD spells a hash: base64 of URLs, without padding.
    """

    def __init__(self, spool: BinaryIO, start: int, size: int, sha256: str) -> None:
        self._spool = spool
        self._start = start
        self.size = size
        self.sha256 = sha256

    def read_at(self, offset: int, byte_count: int) -> bytes:
        """Return these bytes, fewer where the content ends before."""
        self._spool.seek(self._start + offset)
        return self._spool.read(max(min(byte_count, self.size - offset), 0))

    def read(self) -> bytes:
        return self.read_at(0, self.size)

    def chunks(self, start: int = 0, end: int = -1) -> Iterator[bytes]:
        """Yield what lies between two offsets, in pieces; -1 is the end."""
        end = self.size if end < 0 else min(end, self.size)
        for offset in range(start, end, _CHUNK_BYTES):
            yield self.read_at(offset, min(_CHUNK_BYTES, end - offset))

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Reader(self), _CHUNK_BYTES)


class _Reader(io.RawIOBase):
    """Reads a content from its start to its end."""

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
    """Yield the rest of a stream, in pieces."""
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


class Spool:
    """Keeps contents until the process ends."""

    def __init__(self, bytes_in_memory: int = _BYTES_IN_MEMORY) -> None:
        self._file: BinaryIO = tempfile.SpooledTemporaryFile(max_size=bytes_in_memory, dir=".")  # type: ignore[assignment]
        self._end = 0

    def take(self, chunks: Iterable[bytes]) -> Content:
        """Keep what these pieces make together; contents are taken one after the other."""
        start, digest = self._end, hashlib.sha256()
        for chunk in chunks:
            # A piece may come of another content of this spool, which is read elsewhere.
            self._file.seek(self._end)
            self._file.write(chunk)
            digest.update(chunk)
            self._end += len(chunk)
        return Content(self._file, start, self._end - start, _spelled(digest.digest()))
