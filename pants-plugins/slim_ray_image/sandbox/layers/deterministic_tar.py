"""Writes a layer so that equal files give equal bytes, on every machine.

Entries keep the order given, and each path has one entry. Owners are numbers without names, modes are 0644 and 0755
(0777 for symlinks), and all entries have one time. PAX headers have no access or change times, and the gzip header has
neither a name nor a time. Specification: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Iterable, Iterator, Optional

from isal import igzip

from slim_ray_image.core.image_paths import has_control_character, missing_parents
from slim_ray_image.sandbox.spool import Content, sha256_of

# The level with the smallest output of isal's levels 0 to 3, at some eight times zlib's speed.
COMPRESSION_LEVEL = 3


@dataclass(frozen=True)
class Entry:
    """One tar entry of a layer: a file (`content`, `spooled` or `file` is set), a symlink (`link`) or a directory."""

    path: str  # absolute path in the image
    content: Optional[bytes] = None
    spooled: Optional[Content] = None
    file: Optional[str] = (
        None  # path of a file with the content, which is never in memory as a whole
    )
    link: Optional[str] = None  # target of a symlink
    is_directory: bool = False
    is_executable: bool = False
    uid: int = 0
    gid: int = 0


class _HashingWriter(io.RawIOBase):
    """Passes bytes on to `sink`, counts them and computes their SHA-256."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.byte_count = 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def,override]
        self._sink.write(data)
        self._hash.update(data)
        self.byte_count += len(data)
        return len(data)

    def tell(self) -> int:
        return self.byte_count

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class TarWriter:
    """A writer of a tar archive whose bytes depend on the entries and one timestamp alone.

    Attributes:
        unpacked_bytes: Total size of the regular files so far, in bytes.
        file_count: Number of the regular files so far.
    """

    def __init__(self, sink: Any, timestamp: int) -> None:
        self._timestamp = timestamp
        self._tar_stream = _HashingWriter(sink)
        stream: Any = self._tar_stream
        self._tar = tarfile.TarFile(
            fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, copybufsize=1 << 20
        )
        self._written: dict[str, tuple[Any, ...]] = {}
        self.unpacked_bytes = 0
        self.file_count = 0

    def add(self, entry: Entry) -> None:
        """Write one entry to the tar archive, unless an equal one was written before.

        Raises:
            ValueError: If the path was written before with other content or from another file, since layer.md forbids
                duplicates; or if the path has control characters.
        """
        if has_control_character(entry.path):
            raise ValueError(f"A path has control characters: {entry.path!r}.")
        fingerprint = (
            entry.file,
            entry.link,
            entry.is_directory,
            entry.spooled.sha256 if entry.spooled else sha256_of(entry.content or b""),
        )
        before = self._written.setdefault(entry.path, fingerprint)
        if before is not fingerprint:
            if before == fingerprint:
                return
            raise ValueError(entry.path)
        info = tarfile.TarInfo(entry.path.lstrip("/"))
        info.uid, info.gid, info.uname, info.gname = entry.uid, entry.gid, "", ""
        info.mtime = self._timestamp
        info.mode = 0o755 if entry.is_directory or entry.is_executable or entry.link else 0o644
        if entry.is_directory:
            info.type = tarfile.DIRTYPE
            self._tar.addfile(info)
        elif entry.link is not None:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
            self._tar.addfile(info)
        elif entry.file is not None:
            with open(entry.file, "rb") as file:
                self._add_file(info, os.fstat(file.fileno()).st_size, file)
        elif entry.spooled is not None:
            self._add_file(info, entry.spooled.size, entry.spooled.open())
        else:
            content = entry.content or b""
            self._add_file(info, len(content), io.BytesIO(content))

    def _add_file(self, info: tarfile.TarInfo, size: int, content: IO[bytes]) -> None:
        info.size = size
        self._tar.addfile(info, content)
        self.unpacked_bytes += size
        self.file_count += 1


class LayerWriter(TarWriter):
    """A writer of a layer: a tar archive that is compressed by gzip."""

    def __init__(self, sink: BinaryIO, timestamp: int = 0) -> None:
        self._blob = _HashingWriter(sink)
        self._gzip = igzip.IGzipFile(
            filename="", mode="wb", compresslevel=COMPRESSION_LEVEL, fileobj=self._blob, mtime=0
        )
        super().__init__(self._gzip, timestamp)

    def flush(self) -> int:
        """Write all entries added so far to the layer's blob, and return the blob's size so far, in bytes."""
        self._gzip.flush()
        return self._blob.byte_count

    def close(self) -> tuple[str, str, int]:
        """Finish the layer's blob, and return its digest, its diff_id and its size in bytes."""
        self._tar.close()
        self._gzip.close()
        return self._blob.digest, self._tar_stream.digest, self._blob.byte_count


def directories_of(paths: Iterator[str], root: str) -> list[str]:
    """Return `root` and every directory between `root` and `paths`, each once, parents first."""
    found = {root}
    for path in paths:
        parent = path.rpartition("/")[0]
        while len(parent) > len(root):
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return sorted(found)


def write_entries(
    writer: TarWriter, entries: Iterable[Entry], base_directories: frozenset[str]
) -> None:
    """Write the entries of a layer: first directories that the base image lacks, parents included, then the rest."""
    entries = list(entries)
    needed = missing_parents((entry.path for entry in entries), base_directories)
    directories = {path: Entry(path, is_directory=True) for path in needed}
    directories.update((e.path, e) for e in entries if e.is_directory)
    for path in sorted(directories.keys() - base_directories):
        writer.add(directories[path])
    for entry in entries:
        if not entry.is_directory:
            writer.add(entry)
