"""An ELF file made in code, with what a linker leaves behind the part that is loaded."""

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


def make_elf(
    sections: Sequence[tuple[str, int, int]] = (TEXT, COMMENT, SYMBOLS, STRINGS, DEBUG),
    *,
    trailer: bytes = b"",
    kind: int = 3,
) -> bytes:
    """Return a shared object of one loaded segment and of these sections (name, type, flags), then `.shstrtab`.

    The symbol table is linked to `.strtab`; each section that is not loaded holds 96 bytes of its name's first letters.
    """
    named = [("", 0, 0), *sections, (".shstrtab", 3, 0)]
    names, offsets = b"", []
    for name, _, _ in named:
        offsets.append(len(names))
        names += name.encode() + b"\0"
    start = _HEADER_BYTES + _SEGMENT_BYTES
    content, headers = bytearray(LOADED), []
    numbers = {name: number for number, (name, _, _) in enumerate(named)}
    for (name, section_kind, flags), offset in zip(named, offsets):
        if flags:
            at, body = start, LOADED
        else:
            body = names if name == ".shstrtab" else (name.encode()[:9] * 99)[:96]
            body = body if section_kind else b""
            at = start + len(content)
            content += body
        link = numbers.get(".strtab", 0) if name == ".symtab" else 0
        headers.append(
            struct.pack("<IIQQQQIIQQ", offset, section_kind, flags, 0, at, len(body), link, 0, 1, 0)
        )
    sections_at = start + len(content)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", kind, 62, 1, 0, _HEADER_BYTES, sections_at, 0),
        *(_HEADER_BYTES, _SEGMENT_BYTES, 1, _SECTION_BYTES, len(named), len(named) - 1),
    )
    end = start + len(LOADED)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, end, end, 4096)
    return header + segment + bytes(content) + b"".join(headers) + trailer


def section_names(content: bytes) -> list[str]:
    """Return the names of the sections of an ELF file, read by its own headers."""
    (at,) = struct.unpack_from("<Q", content, 40)
    count, names = struct.unpack_from("<HH", content, 60)
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", content, at + n * _SECTION_BYTES) for n in range(count)
    ]
    table = content[headers[names][4] : headers[names][4] + headers[names][5]]
    return [table[h[0] : table.index(b"\0", h[0])].decode() for h in headers]


def section_content(content: bytes, name: str) -> bytes:
    """Return what a section holds."""
    (at,) = struct.unpack_from("<Q", content, 40)
    number = section_names(content).index(name)
    header = struct.unpack_from("<IIQQQQIIQQ", content, at + number * _SECTION_BYTES)
    return content[header[4] : header[4] + header[5]]
