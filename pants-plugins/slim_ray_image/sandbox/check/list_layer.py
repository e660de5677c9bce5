"""Lists the content of one layer, for `pants check`; nothing in the layer is run.

In: the blob of a layer, of the base or of this plugin. Out: the `LayerContents` of `core/check/layer_contents.py`:
every entry, the dynamic sections of ELF files, the configuration of the loader, and the metadata of distributions.
"""

from __future__ import annotations

import configparser
import csv
import email
import functools
import io
import posixpath
import re
import tarfile
from dataclasses import replace
from typing import Iterator, Mapping, Optional

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from installer.utils import parse_entrypoints
from packaging.utils import canonicalize_name

from slim_ray_image.core.check.layer_contents import (
    KIND_DIRECTORY,
    KIND_FILE,
    KIND_OTHER,
    KIND_SYMLINK,
    RESULT,
    Elf,
    ImageFile,
    LayerContents,
    LayerDistribution,
    ListRequest,
)
from slim_ray_image.core.image.root_filesystem import absolute
from slim_ray_image.sandbox.report import run_program, write_result

_ELF_MAGIC = b"\x7fELF"
_READ_BY_CHECKS = re.compile(r"/etc/ld\.so\.conf(\.d/[^/]+\.conf)?")
_METADATA = re.compile(r"(?P<site>.*)/(?P<dist_info>[^/]+\.dist-info)/METADATA")


def elf_facts(content: bytes) -> Optional[Elf]:
    """Return facts that the dynamic loader reads from an ELF file, such as needed libraries; None for another file."""
    if not content.startswith(_ELF_MAGIC):
        return None
    try:
        elf = ELFFile(io.BytesIO(content))
        needed: list[str] = []
        soname, rpath, runpath = None, "", ""
        for segment in elf.iter_segments("PT_DYNAMIC"):
            assert isinstance(segment, DynamicSegment)
            for tag in segment.iter_tags():
                if tag.entry.d_tag == "DT_NEEDED":
                    needed.append(tag.needed)
                elif tag.entry.d_tag == "DT_SONAME":
                    soname = tag.soname
                elif tag.entry.d_tag == "DT_RPATH":
                    rpath = tag.rpath
                elif tag.entry.d_tag == "DT_RUNPATH":
                    runpath = tag.runpath
    except Exception:  # the library raises any exception for a damaged file
        return None
    return Elf(
        machine=f"{elf.header.e_machine}/{elf.elfclass}",
        needed=tuple(needed),
        soname=soname,
        search=tuple(directory for directory in (runpath or rpath).split(":") if directory),
    )


class _Listing:
    """The tar entries of one layer, and the texts of its distributions' metadata files, collected entry by entry."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, ImageFile]] = []
        self.texts: dict[str, str] = {}  # path -> content of a metadata file in *.dist-info
        self._files: dict[str, ImageFile] = {}

    def add(self, layer: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        path = absolute(info.name)
        file = self._describe(layer, info, path)
        self.entries.append((info.name, file))
        self._files[path] = file

    def _describe(self, layer: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> ImageFile:
        described = functools.partial(ImageFile, mode=info.mode, uid=info.uid, gid=info.gid)
        if info.isdir():
            return described(KIND_DIRECTORY)
        if info.issym():
            return described(KIND_SYMLINK, link=info.linkname)
        if info.islnk():  # the file itself comes before, in the same layer
            return self._files.get(absolute(info.linkname), described(KIND_FILE))
        if info.isreg():
            return self._read(layer, info, path, described(KIND_FILE))
        return described(KIND_OTHER)

    def _read(
        self, layer: tarfile.TarFile, info: tarfile.TarInfo, path: str, described: ImageFile
    ) -> ImageFile:
        file = layer.extractfile(info)
        assert file is not None, path
        start = file.read(len(_ELF_MAGIC))
        if start == _ELF_MAGIC:
            return replace(described, elf=elf_facts(start + file.read()))
        directory, name = posixpath.split(path)
        if directory.endswith(".dist-info") and name in ("METADATA", "RECORD", "entry_points.txt"):
            self.texts[path] = (start + file.read()).decode(errors="replace")
        elif _READ_BY_CHECKS.fullmatch(path):
            return replace(described, text=(start + file.read()).decode(errors="replace"))
        return described


def parse_scripts(entry_points: str) -> dict[str, str]:
    """Return command -> "module:attribute" of the console scripts in an entry_points.txt.

    An invalid file has no scripts: no installer makes any from it.
    """
    try:
        return {
            command: f"{module}:{attribute}"
            for command, module, attribute, kind in parse_entrypoints(entry_points)
            if kind == "console"
        }
    except (AssertionError, configparser.Error):  # installer asserts that each line is valid
        return {}


def _binaries(site: str, record: str) -> Iterator[str]:
    """Yield the absolute paths in RECORD that can be ELF files: shared objects, and programs, which have no suffix."""
    for row in csv.reader(io.StringIO(record, newline="")):
        name = posixpath.basename(row[0]) if row else ""
        if ".so" in name or (name and "." not in name):
            yield posixpath.normpath(posixpath.join(site, row[0]))


def _distributions(texts: Mapping[str, str]) -> Iterator[LayerDistribution]:
    for path, text in sorted(texts.items()):
        match = _METADATA.fullmatch(path)
        # Vendored distributions have metadata, too, deeper in the folder of another distribution.
        if not match or not match["site"].endswith("/site-packages"):
            continue
        folder = posixpath.dirname(path)
        metadata = email.message_from_string(text)
        scripts = parse_scripts(texts.get(f"{folder}/entry_points.txt", ""))
        yield LayerDistribution(
            name=canonicalize_name(metadata["Name"]),
            version=metadata["Version"],
            requires=tuple(metadata.get_all("Requires-Dist") or ()),
            scripts=tuple(sorted(scripts.items())),
            binaries=tuple(sorted(_binaries(match["site"], texts.get(f"{folder}/RECORD", "")))),
        )


def main(request: ListRequest) -> None:
    """Write layer_contents.json, with the layer's entries and the facts of its distributions."""
    listing = _Listing()
    with tarfile.open(request.blob) as layer:
        for info in layer:
            listing.add(layer, info)
    write_result(
        RESULT, LayerContents(tuple(listing.entries), tuple(_distributions(listing.texts)))
    )


if __name__ == "__main__":
    run_program(main, ListRequest)
