"""Inputs of the tests, made in code: wheels, distributions, layers and configs of a base image."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import struct
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence, Union

import pytest
from needs import skip_unless_met
from packaging.utils import canonicalize_name

from slim_ray_image.core.errors import InvalidValueError, SlimRayImageError
from slim_ray_image.core.layers.distributions_layer import PieceRequest
from slim_ray_image.core.wheels.distributions import Distribution
from slim_ray_image.core.wheels.needs import needs_of

ROOT = Path(__file__).parent.parent
GOLDEN = Path("tests/golden")
Content = Union[str, bytes]
TarMember = tuple[tarfile.TarInfo, bytes]

GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"

# Programs that tests start in other folders can import the same modules. Pants sets relative paths, so they are resolved.
PYTHONPATH = os.pathsep.join(os.path.abspath(path) for path in sys.path)


def error_text(call: Callable[[], object]) -> str:
    """Return the whole text of the error that `call` must raise."""
    with pytest.raises((SlimRayImageError, InvalidValueError)) as caught:
        call()
    return str(caught.value)


@dataclass(frozen=True)
class Golden:
    """The files of `golden/`, each with the whole text of a message, and generated pages."""

    update: bool

    def check(self, name: str, text: str) -> None:
        """Compare `text` with the file `name`; `pytest --update-golden` writes it instead."""
        self.check_page(GOLDEN / name, text)

    def check_page(self, page: Path, text: str) -> None:
        """Compare `text` with a page that is named by its path from the build root, in the same way as `check`."""
        path = ROOT / page
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n", encoding="utf-8")
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        assert f"{text}\n" == expected, f"{path}: run `pytest --update-golden` if this is meant"


def pytest_runtest_setup(item: pytest.Item) -> None:
    skip_unless_met(item)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the files of tests/golden")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.config.getoption("--update-golden"))


def encoded(content: Content) -> bytes:
    return content.encode() if isinstance(content, str) else content


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, like a sandbox program's, with the variables that the base's launcher sets."""
    folder = tmp_path / "sandbox"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SLIM_RAY_IMAGE_BASE_ROOT", "/nonexistent")
    return folder


# --- Distributions


MARKER_ENVIRONMENT = {
    "python_version": "3.10",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
}


def make_distribution(
    name: str,
    *,
    version: str = "1.0",
    unpacked_bytes: int = 1,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    part_bytes: Mapping[str, int] = {},
    uses: Sequence[str] = (),
) -> Distribution:
    """Return the description of a distribution, with the facts of its wheel."""
    return Distribution(
        file=f"{name}-{version}-py3-none-any.whl",
        name=name,
        version=version,
        unpacked_bytes=unpacked_bytes,
        file_count=3,
        needs=needs_of(requires, extras, MARKER_ENVIRONMENT),
        modules=(name,),
        part_bytes=tuple(sorted(part_bytes.items())),
        uses=tuple(uses),
    )


def _metadata(name: str, version: str, requires: Sequence[str], extras: Sequence[str]) -> str:
    return "".join(
        [
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            *(f"Requires-Dist: {line}\n" for line in requires),
            *(f"Provides-Extra: {extra}\n" for extra in extras),
        ]
    )


def hash_of(content: bytes, algorithm: str = "sha256") -> str:
    """Return a hash in the format of RECORD."""
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def record_line(path: str, content: bytes) -> str:
    """Return a line of RECORD."""
    return f"{path},{hash_of(content)},{len(content)}\n"


def _write_zip(path: Path, files: Mapping[str, bytes], executables: Iterable[str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100755 if name in executables else 0o100644) << 16
            archive.writestr(info, content)


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, Content] = {},
    executables: Iterable[str] = (),
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    entry_points: Optional[str] = None,
    recorded: Mapping[str, Optional[str]] = {},
    has_record: bool = True,
) -> Path:
    """Write a wheel that installers accept and return its path.

    Args:
        files: Content by name in the wheel, such as `foo-1.0.data/scripts/foo`.
        executables: Names in `files` that get the executable bit.
        recorded: File -> its hash in RECORD, in place of SHA-256; None leaves the line out.
    """
    dist_info = f"{name}-{version}.dist-info"
    contents = {path: encoded(content) for path, content in files.items()}
    contents[f"{dist_info}/METADATA"] = _metadata(name, version, requires, extras).encode()
    contents[f"{dist_info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if entry_points is not None:
        contents[f"{dist_info}/entry_points.txt"] = entry_points.encode()
    if has_record:
        contents[f"{dist_info}/RECORD"] = _record(dist_info, contents, recorded)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    _write_zip(path, contents, frozenset(executables))
    return path


def _record(
    dist_info: str, contents: Mapping[str, bytes], recorded: Mapping[str, Optional[str]]
) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path, content in contents.items():
        hash_ = recorded.get(path, hash_of(content))
        if hash_ is not None:
            writer.writerow([path, hash_, len(content)])
    writer.writerow([f"{dist_info}/RECORD", "", ""])
    return text.getvalue().encode()


def piece_of(wheel: Path, part: str = "") -> PieceRequest:
    """Return the request that puts a wheel's distribution, or a part of it, into a layer."""
    return PieceRequest(
        key=f"{wheel.name}:{part}" if part else wheel.name,
        file=wheel.name,
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        name=canonicalize_name(wheel.name.split("-")[0]),
        part=part,
    )


_BUILD_BACKEND = """\
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(folder + "/{wheel}", "w") as wheel:
        for name, content in {contents!r}.items():
            wheel.writestr(name, content)
    return "{wheel}"
"""


def make_sdist(
    folder: Path, name: str, version: str, *, tag: str, files: Mapping[str, str]
) -> Path:
    """Write a source distribution that builds a wheel of this tag with Python alone; return its path.

    Its content is also that of a folder or a repository with its source.
    """
    root = f"{name}-{version}"
    dist_info = f"{root}.dist-info"
    metadata = _metadata(name, version, (), ())
    contents = {**files, f"{dist_info}/METADATA": metadata}
    contents[f"{dist_info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
    contents[f"{dist_info}/RECORD"] = "".join(
        f"{p},,\n" for p in (*contents, f"{dist_info}/RECORD")
    )
    source = {
        "PKG-INFO": metadata,
        "backend.py": _BUILD_BACKEND.format(wheel=f"{root}-{tag}.whl", contents=contents),
        "pyproject.toml": (
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            f'[project]\nname = "{name}"\nversion = "{version}"\n'
        ),
    }
    path = folder / f"{root}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, content in source.items():
            info, data = tar_file(f"{root}/{file}", content)
            archive.addfile(info, io.BytesIO(data))
    return path


# --- ELF files


def make_elf(
    *needed: str,
    soname: Optional[str] = None,
    runpath: Optional[str] = None,
    rpath: Optional[str] = None,
    machine: int = 62,
) -> bytes:
    """Return a 64-bit shared object with only this dynamic section. Machine 62 is x86-64.

    Format: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html, chapters 4 and 5.
    """
    strings, tags = b"\0", []
    for tag, texts in ((1, needed), (14, [soname]), (15, [rpath]), (29, [runpath])):
        for text in texts:
            if text is not None:
                tags.append((tag, len(strings)))
                strings += text.encode() + b"\0"
    strings_at = 64 + 2 * 56
    dynamic_at = strings_at + len(strings)
    tags += [(5, strings_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", tag, value) for tag, value in tags)
    size = dynamic_at + len(dynamic)
    header = struct.pack(
        "<4sBBBBB7xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 0, 0, 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0),
    )
    segments = (
        struct.pack("<IIQQQQQQ", kind, 4, offset, offset, offset, length, length, 8)
        for kind, offset, length in ((1, 0, size), (2, dynamic_at, len(dynamic)))
    )
    return b"".join([header, *segments, strings, dynamic])


# --- Layers


def tar_directory(name: str, mode: int = 0o755) -> TarMember:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def tar_file(name: str, content: Content = "", mode: int = 0o644) -> TarMember:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(encoded(content)), mode
    return info, encoded(content)


def tar_symlink(name: str, target: str) -> TarMember:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info, b""


def tar_hard_link(name: str, target: str) -> TarMember:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE, target
    return info, b""


def make_layer_tar(path: Path, *members: TarMember) -> str:
    """Write a layer of these members, in this order; return its path."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as layer:
        for info, content in members:
            layer.addfile(info, io.BytesIO(content))
    return str(path)


class Layer:
    """A layer read back with Python's own tarfile.

    Attributes:
        members: Path in the tar -> entry, in the tar's order.
        names: Every entry's path in the tar's order, repeated ones included.
        contents: Path -> content of the regular files.
    """

    def __init__(self, blob: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as layer:
            entries = layer.getmembers()
            self.names = [entry.name for entry in entries]
            self.members = {entry.name: entry for entry in entries}
            self.contents = {
                entry.name: layer.extractfile(entry).read()  # type: ignore[union-attr]
                for entry in entries
                if entry.isreg()
            }


# --- Base images


def make_base_config(**changes: Any) -> dict[str, Any]:
    """Return the image config of a base with two layers, like that of python:3.10-slim."""
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-10-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"],
            "Cmd": ["python3"],
        },
        "rootfs": {"type": "layers", "diff_ids": [digest_of(b"tar 1"), digest_of(b"tar 2")]},
        "history": [
            {"created": "2026-10-01T00:00:00Z", "created_by": "ADD rootfs"},
            {"created": "2026-10-01T00:00:00Z", "created_by": "ENV LANG", "empty_layer": True},
            {"created": "2026-10-01T00:00:00Z", "created_by": "RUN install"},
        ],
        **changes,
    }


def make_base_manifest(config: bytes, **changes: Any) -> dict[str, Any]:
    """Return the manifest of a base with the layer blobs `blob 1` and `blob 2`."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [
            {"mediaType": GZIP_LAYER, "digest": digest_of(blob), "size": len(blob)}
            for blob in (b"blob 1", b"blob 2")
        ],
        **changes,
    }


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()
