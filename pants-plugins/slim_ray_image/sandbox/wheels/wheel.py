"""Stages 3 and 4 of 6: a wheel, and where each of its files is in the image.

pypa/installer reads wheels; this is its destination: https://installer.pypa.io/en/stable/api/destinations/. Formats:
https://packaging.python.org/en/latest/specifications/binary-distribution-format/ and
https://packaging.python.org/en/latest/specifications/recording-installed-packages/.
"""

from __future__ import annotations

import configparser
import hashlib
import io
import os
import posixpath
import stat
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, Any, Callable, Iterable, Iterator, Optional

from installer import install
from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import Hash, InvalidRecordEntry, RecordEntry, parse_record_file
from installer.scripts import Script
from installer.sources import WheelFile

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image_paths import SCRIPTS, VENV, has_control_character
from slim_ray_image.sandbox.spool import chunks_of

_PYTHON = f"{SCRIPTS}/python"
_DIST_INFO = ".dist-info"
_ENTRY_POINTS = "entry_points.txt"
_BYTECODE = "__pycache__"
# What installer, and the readers of zips below it, raise of a file that is no wheel.
_MALFORMED = (
    *(InstallerError, InvalidRecordEntry, AssertionError, EOFError, LookupError, ValueError),
    # RuntimeError is zipfile's for what is encrypted, or compressed in a way that it does not know.
    *(zipfile.BadZipFile, zlib.error, configparser.Error, RuntimeError),
)


@dataclass(frozen=True)
class Member:
    """A file of a wheel, or a script of its entry points, as it is in the image.

    Attributes:
        path: In the image.
        chunks: Its content, in pieces; to be read before the next member, once.
        byte_count: Of the content.
        recorded: Its hash, of RECORD; None where that has none.
    """

    path: str
    chunks: Iterable[bytes]
    byte_count: int
    recorded: Optional[Hash]
    is_executable: bool


@dataclass(frozen=True)
class WheelLayout:
    """Facts of a wheel besides its files.

    Attributes:
        metadata: Its METADATA.
        record: The path of RECORD in the image. RECORD is no `Member`: it tells what is there in the end.
        scripts: The commands of its entry points, sorted.
    """

    metadata: str
    record: str
    scripts: tuple[str, ...]


def check_wheel(path: str, sha256: str) -> None:
    """Check that a wheel is the one that is meant: what lies in a cache can change.

    Raises:
        SlimRayImageError: If it is not.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in chunks_of(file):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise SlimRayImageError(
            f"The wheel {os.path.basename(path)} is not what it was when it was fetched: a disk or a cache changed it.",
            evidence=[f"its SHA-256 is {digest.hexdigest()}, not {sha256}"],
            fixes=[
                "remove Pants' store, `[GLOBAL].local_store_dir`, and look at the disk that it is on",
            ],
        )


def _last_entry_points(text: str) -> str:
    """Return entry points with the last of each name: installer refuses the names that are there twice."""
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(text)
    written = io.StringIO()
    parser.write(written)
    return written.getvalue()


def _check_name(name: str) -> None:
    """Raise if what is no path may lead out of the image, or mean another file there."""
    if has_control_character(name) or posixpath.normpath(f"image/{name}") != f"image/{name}":
        raise ValueError(f"{name!r} is no name that a file can have")


class _Source(WheelFile):
    """A wheel whose members come with their hashes and sizes."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        super().__init__(file)
        self._file = file
        self._members = [info for info in file.infolist() if not info.is_dir()]
        for info in self._members:
            _check_name(info.filename)

    @property
    def data_dir(self) -> str:
        # By its own name, not by the file's: the two need not be spelled alike.
        return f"{self.dist_info_dir[: -len(_DIST_INFO)]}.data"

    def read_dist_info(self, filename: str) -> str:
        text = super().read_dist_info(filename)
        return _last_entry_points(text) if filename == _ENTRY_POINTS else text

    def get_contents(self) -> Iterator[Any]:
        # A line of RECORD ends with a line break: `str.splitlines`, which installer uses, knows of other ends, too.
        lines = io.StringIO(self.read_dist_info("RECORD"), newline="")
        records = {row[0]: row for row in parse_record_file(line for line in lines if line.strip())}
        for info in self._members:
            name, mode = info.filename, info.external_attr >> 16
            root, *inner = name.split("/")
            if root.startswith(self.data_dir) and (root != self.data_dir or len(inner) < 2):
                raise ValueError(f"{name!r} is in no folder of {self.data_dir}")
            record = records.get(name, (name, "", ""))
            recorded = RecordEntry.from_elements(*record).hash_
            is_executable = stat.S_ISREG(mode) and bool(mode & 0o111)
            with self._file.open(info) as stream:
                yield record, _Stream(stream, info.file_size, recorded), is_executable


@dataclass(frozen=True)
class _Stream:
    """A member, as `_Source` gives it to `_Destination`."""

    stream: IO[bytes]
    byte_count: int
    recorded: Optional[Hash]


class _Destination(WheelDestination):
    """Says where files go, and has each visited."""

    def __init__(self, source: _Source, site_packages: str, visit: Callable[[Member], None]):
        self._source = source
        self._site_packages = site_packages
        self._visit = visit
        self.scripts: set[str] = set()

    def _place(self, scheme: str, path: str) -> str:
        """Return where a file goes; headers as pip places them for a virtual environment."""
        if scheme in ("purelib", "platlib"):
            return f"{self._site_packages}/{path}"
        if scheme == "scripts":
            return f"{SCRIPTS}/{path}"
        if scheme == "headers":
            python = posixpath.basename(posixpath.dirname(self._site_packages))
            return f"{VENV}/include/site/{python}/{self._source.distribution}/{path}"
        return f"{VENV}/{path}"

    def write_script(self, name: str, module: str, attr: str, section: Any) -> RecordEntry:
        _check_name(name)
        _, content = Script(name, module, attr, section).generate(_PYTHON, "posix")
        self.scripts.add(name)
        self._visit(Member(f"{SCRIPTS}/{name}", [content], len(content), None, True))
        return RecordEntry(name, None, None)

    def write_file(self, scheme: Any, path: Any, stream: Any, is_executable: bool) -> RecordEntry:
        # Python reads no bytecode of `__pycache__` without the source, and ours is of this source for certain.
        is_replaced = scheme == "scripts" and path in self.scripts
        if not is_replaced and _BYTECODE not in path.split("/"):
            chunks = chunks_of(stream.stream)
            is_executable = is_executable or scheme == "scripts"
            place = self._place(scheme, path)
            self._visit(Member(place, chunks, stream.byte_count, stream.recorded, is_executable))
        return RecordEntry(path, None, None)

    def finalize_installation(self, scheme: Any, record_file_path: str, records: Any) -> None:
        """RECORD is written by the layer."""


def malformed(file: str, reason: str) -> SlimRayImageError:
    """Return the error for a file that is no wheel that can be installed."""
    return SlimRayImageError(
        f"The wheel {file} cannot be installed: it does not hold to the format of wheels.",
        evidence=[reason],
        fixes=["require another version of it, and tell its maintainers"],
    )


def read_wheel(path: str, site_packages: str, visit: Callable[[Member], None]) -> WheelLayout:
    """Have each file of a wheel visited, in its order there, scripts of entry points first.

    Args:
        site_packages: In the image.
        visit: May raise a ValueError if a member is not what it should be.

    Raises:
        SlimRayImageError: If it is no wheel that can be installed.
    """
    try:
        with zipfile.ZipFile(path) as file:
            source = _Source(file)
            destination = _Destination(source, site_packages, visit)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # installer tells of bytecode that it skips
                install(source, destination, {})
            return WheelLayout(
                source.read_dist_info("METADATA"),
                f"{site_packages}/{source.dist_info_dir}/RECORD",
                tuple(sorted(destination.scripts)),
            )
    except _MALFORMED as error:
        raise malformed(os.path.basename(path), str(error) or type(error).__name__) from error
