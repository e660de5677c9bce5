"""Stages 3 and 4 of 6: read a wheel, and map each of its files to a path in the image.

pypa/installer reads wheels; this module is its destination:
https://installer.pypa.io/en/stable/api/destinations/. Formats:
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
# Errors that installer, and the zip readers that it uses, raise for a file that is no valid wheel.
_MALFORMED = (
    *(InstallerError, InvalidRecordEntry, AssertionError, EOFError, LookupError, ValueError),
    # zipfile raises RuntimeError for encrypted files and for unknown compression methods.
    *(zipfile.BadZipFile, zlib.error, configparser.Error, RuntimeError),
)


@dataclass(frozen=True)
class Member:
    """A file of a wheel, or a script of its entry points, as installed in the image.

    Attributes:
        path: Path in the image.
        chunks: Content, in pieces. Can be read once, before the next member is visited.
        byte_count: Size of the content in bytes.
        recorded: Hash in RECORD; None if RECORD has no hash of the file.
    """

    path: str
    chunks: Iterable[bytes]
    byte_count: int
    recorded: Optional[Hash]
    is_executable: bool


@dataclass(frozen=True)
class WheelLayout:
    """Facts of a wheel besides its files: the text of METADATA, RECORD's path and the names of commands.

    Attributes:
        metadata: Text of METADATA.
        record: Path of RECORD in the image. RECORD is no `Member`, since it lists the files of the finished layer.
        scripts: Names of the commands of its entry points, sorted.
    """

    metadata: str
    record: str
    scripts: tuple[str, ...]


def check_wheel(path: str, sha256: str) -> None:
    """Check that a wheel has the given SHA-256, since files in a cache can change.

    Raises:
        SlimRayImageError: If the wheel has another SHA-256.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in chunks_of(file):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise SlimRayImageError(
            f"The wheel {os.path.basename(path)} has changed since it was fetched, on a disk or in a cache.",
            evidence=[f"its SHA-256 is {digest.hexdigest()}, not {sha256}"],
            fixes=[
                "remove Pants' store, `[GLOBAL].local_store_dir`, and check the disk that contains it",
            ],
        )


def _last_entry_points(text: str) -> str:
    """Return entry_points.txt with only the last entry of each name, since the library installer rejects duplicates."""
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(text)
    written = io.StringIO()
    parser.write(written)
    return written.getvalue()


def _check_name(name: str) -> None:
    """Check that a file name in a wheel leads neither out of the image nor to another file there.

    Raises:
        ValueError: If `name` has a control character or is no normalised relative path.
    """
    if has_control_character(name) or posixpath.normpath(f"image/{name}") != f"image/{name}":
        raise ValueError(f"{name!r} is not a valid file name")


class _Source(WheelFile):
    """A wheel that passes its files to the library installer, each with its hash in RECORD and its size."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        super().__init__(file)
        self._file = file
        self._members = [info for info in file.infolist() if not info.is_dir()]
        for info in self._members:
            _check_name(info.filename)

    @property
    def data_dir(self) -> str:
        # Derived from the .dist-info folder, since the wheel's file name may be spelled differently.
        return f"{self.dist_info_dir[: -len(_DIST_INFO)]}.data"

    def read_dist_info(self, filename: str) -> str:
        text = super().read_dist_info(filename)
        return _last_entry_points(text) if filename == _ENTRY_POINTS else text

    def get_contents(self) -> Iterator[Any]:
        # Lines of RECORD end only at line breaks; `str.splitlines`, which installer uses, also splits at others.
        lines = io.StringIO(self.read_dist_info("RECORD"), newline="")
        records = {row[0]: row for row in parse_record_file(line for line in lines if line.strip())}
        for info in self._members:
            name, mode = info.filename, info.external_attr >> 16
            root, *inner = name.split("/")
            if root.startswith(self.data_dir) and (root != self.data_dir or len(inner) < 2):
                raise ValueError(f"{name!r} is not in a folder of {self.data_dir}")
            record = records.get(name, (name, "", ""))
            recorded = RecordEntry.from_elements(*record).hash_
            is_executable = stat.S_ISREG(mode) and bool(mode & 0o111)
            with self._file.open(info) as stream:
                yield record, _Stream(stream, info.file_size, recorded), is_executable


@dataclass(frozen=True)
class _Stream:
    """The content of a file in a wheel, its size and its hash in RECORD, as `_Source` passes them to `_Destination`."""

    stream: IO[bytes]
    byte_count: int
    recorded: Optional[Hash]


class _Destination(WheelDestination):
    """A destination of the library installer that calls `visit` for each file of a wheel and its path in the image."""

    def __init__(self, source: _Source, site_packages: str, visit: Callable[[Member], None]):
        self._source = source
        self._site_packages = site_packages
        self._visit = visit
        self.scripts: set[str] = set()

    def _place(self, scheme: str, path: str) -> str:
        """Return the path in the image of a file of a wheel, by its scheme, such as `purelib` or `scripts`.

        Headers go where pip puts them in a virtual environment.
        """
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
        # Bytecode in `__pycache__` is skipped: Python ignores it without a source, and ours surely fits the source.
        is_replaced = scheme == "scripts" and path in self.scripts
        if not is_replaced and _BYTECODE not in path.split("/"):
            chunks = chunks_of(stream.stream)
            is_executable = is_executable or scheme == "scripts"
            place = self._place(scheme, path)
            self._visit(Member(place, chunks, stream.byte_count, stream.recorded, is_executable))
        return RecordEntry(path, None, None)

    def finalize_installation(self, scheme: Any, record_file_path: str, records: Any) -> None:
        """Do nothing: the RECORD of the wheel is written later, with the layer."""


def malformed(file: str, reason: str) -> SlimRayImageError:
    """Return the error for a file that is no installable wheel."""
    return SlimRayImageError(
        f"The wheel {file} cannot be installed: it does not follow the wheel format.",
        evidence=[reason],
        fixes=["require another version of it, and tell its maintainers"],
    )


def read_wheel(path: str, site_packages: str, visit: Callable[[Member], None]) -> WheelLayout:
    """Call `visit` for each file that a wheel installs, first scripts of entry points; return the wheel's other facts.

    The other files follow in the order of the archive. Bytecode that the wheel contains is skipped.

    Args:
        site_packages: Path of site-packages in the image.
        visit: Called with each member. May raise a ValueError to reject a member.

    Raises:
        SlimRayImageError: If the file is no installable wheel.
    """
    try:
        with zipfile.ZipFile(path) as file:
            source = _Source(file)
            destination = _Destination(source, site_packages, visit)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # installer warns about bytecode that it skips
                install(source, destination, {})
            return WheelLayout(
                source.read_dist_info("METADATA"),
                f"{site_packages}/{source.dist_info_dir}/RECORD",
                tuple(sorted(destination.scripts)),
            )
    except _MALFORMED as error:
        raise malformed(os.path.basename(path), str(error) or type(error).__name__) from error
