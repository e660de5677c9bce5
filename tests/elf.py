"""ELF files made in code, with the sections that a linker puts after the loaded part."""

from __future__ import annotations

import struct
from typing import Sequence

LOADED = b"code and data, which the loader reads" + b"." * 27
_HEADER_BYTES, _SEGMENT_BYTES, _SECTION_BYTES = 64, 56, 64
SYMBOLS = (".symtab", 2, 0)
STRINGS = (".strtab", 3, 0)
DEBUG = (".debug_info", 1, 0)
COMMENT = (".comment", 1, 0)
TEXT = (".text", 1, 2)
DYNAMIC_STRINGS = (".dynstr", 3, 2)
PAGE_BYTES = 4096


def make_elf(
    sections: Sequence[tuple[str, int, int]] = (TEXT, COMMENT, SYMBOLS, STRINGS, DEBUG),
    *,
    behind: bytes = b"",
    page_bytes: int = PAGE_BYTES,
    section_bytes: int = 96,
    trailer: bytes = b"",
    kind: int = 3,
) -> bytes:
    """Return a shared object with one loaded segment and these sections (name, type, flags), then `.shstrtab`.

    The symbol table is linked to `.strtab`. The content of a section that is not loaded repeats the start of its name.

    Args:
        behind: Content of a second loaded segment after the sections, like in a library that was changed after
            linking: the section `.dynstr`, whose address is its offset.
        page_bytes: The alignment of both segments, in bytes.
        section_bytes: The size of each section that is not loaded, in bytes.
    """
    named = [("", 0, 0), *sections, *([DYNAMIC_STRINGS] if behind else []), (".shstrtab", 3, 0)]
    names, offsets = b"", []
    for name, _, _ in named:
        offsets.append(len(names))
        names += name.encode() + b"\0"
    start = _HEADER_BYTES + _SEGMENT_BYTES * (2 if behind else 1)
    content, places = bytearray(LOADED), {}
    for name, section_kind, flags in named:
        if flags:
            places[name] = (start, LOADED)
            continue
        body = names if name == ".shstrtab" else (name.encode()[:9] * section_bytes)[:section_bytes]
        places[name] = (start + len(content), body if section_kind else b"")
        content += places[name][1]
    end = start + len(LOADED)
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, end, end, page_bytes)
    if behind:
        content += bytes(-(start + len(content)) % page_bytes)
        at, size = start + len(content), len(behind)
        places[DYNAMIC_STRINGS[0]] = (at, behind)
        segments += struct.pack("<IIQQQQQQ", 1, 4, at, at, at, size, size, page_bytes)
        content += behind + bytes(-size % 8)
    numbers = {name: number for number, (name, _, _) in enumerate(named)}
    headers = []
    for (name, section_kind, flags), offset in zip(named, offsets):
        at, body = places[name]
        link = numbers.get(".strtab", 0) if name == ".symtab" else 0
        headers.append(
            struct.pack("<IIQQQQIIQQ", offset, section_kind, flags, 0, at, len(body), link, 0, 1, 0)
        )
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", kind, 62, 1, 0, _HEADER_BYTES, start + len(content), 0),
        *(_HEADER_BYTES, _SEGMENT_BYTES, len(segments) // _SEGMENT_BYTES),
        *(_SECTION_BYTES, len(named), len(named) - 1),
    )
    return header + segments + bytes(content) + b"".join(headers) + trailer


def segments_of(content: bytes) -> list[tuple[int, int, bytes]]:
    """Return the segments of the program headers: (address, alignment, content)."""
    (at,) = struct.unpack_from("<Q", content, 32)
    (count,) = struct.unpack_from("<H", content, 56)
    rows = [struct.unpack_from("<IIQQQQQQ", content, at + n * _SEGMENT_BYTES) for n in range(count)]
    return [(row[3], row[7], content[row[2] : row[2] + row[5]]) for row in rows]


def section_names(content: bytes) -> list[str]:
    """Return the names of an ELF file's sections, read from its own headers, inactive sections included."""
    (at,) = struct.unpack_from("<Q", content, 40)
    count, names = struct.unpack_from("<HH", content, 60)
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", content, at + n * _SECTION_BYTES) for n in range(count)
    ]
    table = content[headers[names][4] : headers[names][4] + headers[names][5]]
    return [table[h[0] : table.index(b"\0", h[0])].decode() for h in headers]


def live_sections(content: bytes) -> set[str]:
    """Return the names of the sections that are not inactive (`SHT_NULL`)."""
    (at,) = struct.unpack_from("<Q", content, 40)
    kinds = struct.iter_unpack(
        "<4xI56x", content[at : at + _SECTION_BYTES * len(section_names(content))]
    )
    return {name for name, (kind,) in zip(section_names(content), kinds) if kind}


def section_content(content: bytes, name: str) -> bytes:
    """Return the content of a section."""
    (at,) = struct.unpack_from("<Q", content, 40)
    number = section_names(content).index(name)
    header = struct.unpack_from("<IIQQQQIIQQ", content, at + number * _SECTION_BYTES)
    return content[header[4] : header[4] + header[5]]
