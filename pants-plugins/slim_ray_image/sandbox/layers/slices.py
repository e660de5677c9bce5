"""Stage 4 of 6: writes slices, runs of a layer's tar entries compressed separately, and joins them to the layer.

A slice is a run of tar entries as deflate blocks (https://datatracker.ietf.org/doc/html/rfc1951) that end on a byte and
refer to nothing before the slice, so slices can follow one another in one stream. A slice is no gzip member of its own,
because readers that take a stream piece by piece, such as Python's `tarfile` with `r|gz`, stop after the first member.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Any, BinaryIO, Iterable

from isal import isal_zlib

from slim_ray_image.core.layers.layer_blob import LayerBlob
from slim_ray_image.sandbox.layers.deterministic_tar import COMPRESSION_LEVEL, TarWriter

_RAW = -zlib.MAX_WBITS
# https://datatracker.ietf.org/doc/html/rfc1952: deflate, no name, no time, an unknown system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_BLOCK, _RECORD = 512, 10240  # bytes, in a tar
_INFLATED_AT_ONCE = 1 << 14  # compressed bytes, each of which can become a thousand


class _Deflate:
    """A stream that compresses the bytes written to it into deflate blocks, and counts the compressed bytes."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._compressor: Any = isal_zlib.compressobj(
            level=COMPRESSION_LEVEL, method=isal_zlib.DEFLATED, wbits=_RAW
        )
        self.byte_count = 0

    def _pass_on(self, deflated: bytes) -> None:
        self._sink.write(deflated)
        self.byte_count += len(deflated)

    def write(self, data: Any) -> int:
        self._pass_on(self._compressor.compress(data))
        return len(data)

    def flush(self) -> None:
        self._pass_on(self._compressor.flush(isal_zlib.Z_SYNC_FLUSH))


class SliceWriter(TarWriter):
    """A writer of a slice: tar entries of a layer, compressed so that other slices can come before and after."""

    def __init__(self, sink: BinaryIO, timestamp: int) -> None:
        self._deflate = _Deflate(sink)
        super().__init__(self._deflate, timestamp)

    def flush(self) -> int:
        """Write all entries added so far, so that the slice can end there; return its compressed size in bytes."""
        self._deflate.flush()
        return self._deflate.byte_count


class LayerJoiner:
    """A writer of a tar+gzip layer that is joined from slices, which are already compressed."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._blob_hash, self._tar_hash = hashlib.sha256(), hashlib.sha256()
        self._blob_bytes = self._tar_bytes = self._checksum = 0
        self._write(_GZIP_HEADER)

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._blob_hash.update(data)
        self._blob_bytes += len(data)

    def _count(self, entries: bytes) -> None:
        self._tar_hash.update(entries)
        self._checksum = isal_zlib.crc32(entries, self._checksum)
        self._tar_bytes += len(entries)

    def add(self, pieces: Iterable[bytes]) -> None:
        """Append a slice, whose bytes are in `pieces`, to the layer; unpack it only to hash and count its content."""
        inflate = isal_zlib.decompressobj(wbits=_RAW)
        for piece in pieces:
            self._write(piece)
            for start in range(0, len(piece), _INFLATED_AT_ONCE):
                self._count(inflate.decompress(piece[start : start + _INFLATED_AT_ONCE]))

    def close(self, unpacked_bytes: int, file_count: int) -> LayerBlob:
        """Finish the layer and return its description; `unpacked_bytes` and `file_count` are totals of all slices."""
        end = bytes(2 * _BLOCK)
        end += bytes(-(self._tar_bytes + len(end)) % _RECORD)
        compressor = isal_zlib.compressobj(
            level=COMPRESSION_LEVEL, method=isal_zlib.DEFLATED, wbits=_RAW
        )
        self._write(compressor.compress(end) + compressor.flush(isal_zlib.Z_FINISH))
        self._count(end)
        self._write(struct.pack("<LL", self._checksum, self._tar_bytes & 0xFFFFFFFF))
        return LayerBlob(
            f"sha256:{self._blob_hash.hexdigest()}",
            self._blob_bytes,
            f"sha256:{self._tar_hash.hexdigest()}",
            unpacked_bytes,
            file_count,
        )
