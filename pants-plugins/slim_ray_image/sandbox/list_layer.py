"""Lists what is in one layer, for `pants check`; nothing in it is run.

In: a layer's blob, of the base or ours. Out: layer_contents.json, which `core/layer_contents.py` reads: every entry,
the dynamic sections of the ELF files, the configuration of the loader, and the metadata of the distributions.
"""

from __future__ import annotations

import configparser
import csv
import email
import io
import posixpath
import re
import tarfile
from typing import Any, Iterator, Mapping, Optional

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from packaging.utils import canonicalize_name

from slim_ray_image.core.layer_contents import KIND_DIRECTORY, KIND_FILE, KIND_SYMLINK
from slim_ray_image.core.root_filesystem import absolute
from slim_ray_image.sandbox.report import run_program, write_json

_ELF_MAGIC = b"\x7fELF"
_READ_BY_CHECKS = re.compile(r"/etc/ld\.so\.conf(\.d/[^/]+\.conf)?")
_METADATA = re.compile(r"(?P<site>.*)/(?P<dist_info>[^/]+\.dist-info)/METADATA")


def elf_facts(content: bytes) -> Optional[Mapping[str, Any]]:
    """Return what the loader reads of an ELF file; None of a file that is none, or not a whole one."""
    if not content.startswith(_ELF_MAGIC):
        return None
    try:
        elf = ELFFile(io.BytesIO(content))
        needed, soname, rpath, runpath = [], None, "", ""
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
    except Exception:  # of a damaged file the library raises whatever comes
        return None
    return {
        "machine": f"{elf.header.e_machine}/{elf.elfclass}",
        "needed": needed,
        "soname": soname,
        "search": [directory for directory in (runpath or rpath).split(":") if directory],
    }


class _Listing:
    """The entries of one layer, and the texts of its distributions."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, Any]]] = []
        self.texts: dict[str, str] = {}  # path -> content, of *.dist-info
        self._rows: dict[str, dict[str, Any]] = {}

    def add(self, layer: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        path = absolute(info.name)
        row: dict[str, Any] = {"mode": info.mode, "uid": info.uid, "gid": info.gid}
        if info.isdir():
            row["kind"] = KIND_DIRECTORY
        elif info.issym():
            row.update(kind=KIND_SYMLINK, link=info.linkname)
        elif info.islnk():  # the file itself comes before, in the same layer
            row.update(self._rows.get(absolute(info.linkname), {"kind": KIND_FILE}))
        elif info.isreg():
            row.update(kind=KIND_FILE, **self._read(layer, info, path))
        else:
            row["kind"] = "other"
        self.entries.append((info.name, row))
        self._rows[path] = row

    def _read(self, layer: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> dict[str, Any]:
        file = layer.extractfile(info)
        assert file is not None, path
        start = file.read(len(_ELF_MAGIC))
        if start == _ELF_MAGIC:
            elf = elf_facts(start + file.read())
            return {"elf": elf} if elf else {}
        directory, name = posixpath.split(path)
        if directory.endswith(".dist-info") and name in ("METADATA", "RECORD", "entry_points.txt"):
            self.texts[path] = (start + file.read()).decode(errors="replace")
        elif _READ_BY_CHECKS.fullmatch(path):
            return {"text": (start + file.read()).decode(errors="replace")}
        return {}


def parse_scripts(entry_points: str) -> dict[str, str]:
    """Return command -> "module:attribute" of the console scripts of an entry_points.txt."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(entry_points)
    if not parser.has_section("console_scripts"):
        return {}
    return {
        command: re.sub(r"\s", "", target.split("[")[0])
        for command, target in parser.items("console_scripts")
    }


def _binaries(site: str, record: str) -> Iterator[str]:
    """The absolute paths of RECORD that can be ELF files: shared objects, and programs, which have no suffix."""
    for row in csv.reader(io.StringIO(record, newline="")):
        name = posixpath.basename(row[0]) if row else ""
        if ".so" in name or (name and "." not in name):
            yield posixpath.normpath(posixpath.join(site, row[0]))


def _distributions(texts: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    for path, text in sorted(texts.items()):
        match = _METADATA.fullmatch(path)
        # What a distribution vendors has metadata, too, deeper in its own folder.
        if not match or not match["site"].endswith("/site-packages"):
            continue
        folder = posixpath.dirname(path)
        metadata = email.message_from_string(text)
        yield {
            "name": canonicalize_name(metadata["Name"]),
            "version": metadata["Version"],
            "requires": metadata.get_all("Requires-Dist") or [],
            "scripts": parse_scripts(texts.get(f"{folder}/entry_points.txt", "")),
            "binaries": sorted(_binaries(match["site"], texts.get(f"{folder}/RECORD", ""))),
        }


def main(request: Mapping[str, Any]) -> None:
    """Write layer_contents.json."""
    listing = _Listing()
    with tarfile.open(request["blob"]) as layer:
        for info in layer:
            listing.add(layer, info)
    write_json(
        "layer_contents.json",
        {"entries": listing.entries, "distributions": list(_distributions(listing.texts))},
    )


if __name__ == "__main__":
    run_program(main)
