"""Stage 4 of 6: an ELF file without symbol tables or debug information, every byte that is loaded left in its place.

In and out: the content of a file. What is stripped lies behind all that a program header names, so that the loader sees
no difference; nothing is moved that it reads. Tools for building programs lay the whole file out anew, which breaks
libraries whose program headers were changed after linking. Format: the System V ABI's ELF-64 object files, and
https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import Enum
from typing import Mapping, Optional, Sequence

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_IDENT = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_SYMBOLS, _SYMBOL_INDEXES, _NO_BITS = 2, 18, 8
_RELOCATIONS = (4, 9)
_SYMBOL_BYTES, _SYMBOL_SECTION_AT, _SYMBOL_SECTION = 24, 6, struct.Struct("<H")  # st_shndx
_RESERVED_INDEXES = 0xFF00
_ALLOCATED = 0x2
_DEBUG_NAMES = (b".debug_", b".zdebug_", b".stab", b".gdb_index")
_EXECUTABLE, _SHARED_OBJECT = 2, 3


class Stripped(Enum):
    """What is stripped."""

    DEBUG_INFORMATION = "debug information"
    SYMBOLS = "symbol tables"


@dataclass(frozen=True)
class _Section:
    """A section header (`Elf64_Shdr`), and the name that it points to."""

    name_offset: int
    kind: int
    flags: int
    address: int
    offset: int
    byte_count: int
    link: int
    information: int
    alignment: int
    entry_bytes: int
    name: bytes = b""

    @property
    def end(self) -> int:
        return self.offset + (0 if self.kind == _NO_BITS else self.byte_count)

    def pack(self) -> bytes:
        return _SECTION.pack(
            *(self.name_offset, self.kind, self.flags, self.address, self.offset, self.byte_count),
            *(self.link, self.information, self.alignment, self.entry_bytes),
        )


def _read_sections(content: bytes, offset: int, count: int, names: int) -> list[_Section]:
    """Return the sections, with their names."""
    found = [
        _Section(*_SECTION.unpack_from(content, offset + number * _SECTION.size))
        for number in range(count)
    ]
    table = content[found[names].offset : found[names].end]
    return [
        replace(s, name=table[s.name_offset : table.index(b"\0", s.name_offset)]) for s in found
    ]


def _droppable(sections: Sequence[_Section], loaded_end: int, kind: Stripped) -> set[int]:
    """Return the indexes of what is to be stripped behind all that is loaded; symbol tables with their strings."""
    found = {
        index
        for index, section in enumerate(sections)
        if (
            section.name.startswith(_DEBUG_NAMES)
            if kind is Stripped.DEBUG_INFORMATION
            else section.kind in (_SYMBOLS, _SYMBOL_INDEXES)
        )
    }
    found |= {sections[index].link for index in found if sections[index].kind == _SYMBOLS}
    return {
        index
        for index in found
        if not sections[index].flags & _ALLOCATED and sections[index].offset >= loaded_end
    }


def _is_safe(sections: Sequence[_Section], dropped: set[int], names: int) -> bool:
    """Whether nothing that stays refers to what goes, by its index or by what its own index was."""
    if names in dropped or any(
        section.flags & _ALLOCATED and index > min(dropped)
        for index, section in enumerate(sections)
    ):
        return False
    kept = [section for index, section in enumerate(sections) if index not in dropped]
    return not any(
        section.link in dropped or (section.kind in _RELOCATIONS and section.information in dropped)
        for section in kept
    )


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // max(alignment, 1)) * max(alignment, 1)


def _renumbered(symbols: bytes, numbers: Mapping[int, int], first_dropped: int) -> bytes:
    """Return a symbol table whose symbols name sections by their new numbers; 0 stands for one that is gone."""
    written = bytearray(symbols)
    for at in range(_SYMBOL_SECTION_AT, len(written), _SYMBOL_BYTES):
        (index,) = _SYMBOL_SECTION.unpack_from(written, at)
        if first_dropped <= index < _RESERVED_INDEXES:
            _SYMBOL_SECTION.pack_into(written, at, numbers.get(index, 0))
    return bytes(written)


def _write(
    content: bytes, sections: Sequence[_Section], dropped: set[int], loaded_end: int
) -> tuple[bytes, list[_Section]]:
    """Return the content without the section headers, and those; what stays behind the loaded part moves up."""
    kept = [index for index in range(len(sections)) if index not in dropped]
    numbers = {index: number for number, index in enumerate(kept)}
    stays = max(
        [loaded_end, *(s.end for s in (sections[i] for i in kept) if s.offset < loaded_end)]
    )
    written = bytearray(content[:stays])
    headers = {}
    for index in sorted(kept, key=lambda i: (sections[i].offset, i)):
        section = sections[index]
        section = replace(section, link=numbers[section.link])
        if section.kind in _RELOCATIONS:
            section = replace(section, information=numbers[section.information])
        if section.kind not in (0, _NO_BITS) and section.offset >= stays:
            start = _aligned(len(written), section.alignment)
            body = content[section.offset : section.end]
            if section.kind == _SYMBOLS:
                body = _renumbered(body, numbers, min(dropped))
            written += bytes(start - len(written)) + body
            section = replace(section, offset=start)
        headers[index] = section
    written += bytes(_aligned(len(written), 8) - len(written))
    return bytes(written), [headers[index] for index in kept]


def strip(content: bytes, kind: Stripped) -> Optional[bytes]:
    """Return the content without what is of this kind; None where there is nothing to strip safely.

    A file whose headers do not hold, as one that is cut off, is one of those.
    """
    try:
        return _strip(content, kind)
    except (struct.error, IndexError, KeyError, OverflowError, ValueError):
        return None


def _strip(content: bytes, kind: Stripped) -> Optional[bytes]:
    if not content.startswith(_IDENT) or len(content) < _HEADER.size:
        return None
    header = list(_HEADER.unpack_from(content))
    file_kind, segments_at, sections_at = header[1], header[5], header[6]
    segment_count, section_count, names = header[10], header[12], header[13]
    is_linked = file_kind in (_EXECUTABLE, _SHARED_OBJECT)
    if not is_linked or not section_count or not segment_count:
        return None
    sections = _read_sections(content, sections_at, section_count, names)
    table_end = sections_at + section_count * _SECTION.size
    if len(content) > max([table_end, *(section.end for section in sections)]):
        return None  # something is appended that only the program itself knows of
    segments = (
        _SEGMENT.unpack_from(content, segments_at + number * _SEGMENT.size)
        for number in range(segment_count)
    )
    loaded_end = max(segments_at + segment_count * _SEGMENT.size, *(s[2] + s[5] for s in segments))
    dropped = _droppable(sections, loaded_end, kind)
    if not dropped or not _is_safe(sections, dropped, names):
        return None
    if sections_at < loaded_end:
        return None
    written, kept = _write(content, sections, dropped, loaded_end)
    header[6], header[12] = len(written), len(kept)
    header[13] = names - sum(index < names for index in dropped)
    table = b"".join(section.pack() for section in kept)
    return _HEADER.pack(*header) + written[_HEADER.size :] + table
