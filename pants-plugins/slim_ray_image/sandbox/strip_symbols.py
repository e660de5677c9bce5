"""Stage 4 of 6: an ELF file without symbol tables or debug information, every byte that is loaded left in its place.

In and out: the content of a file, in pieces. What is stripped lies behind all that a program header names, so that the
loader sees no difference; nothing is moved that it reads. Tools for building programs lay the whole file out anew,
which breaks libraries whose program headers were changed after linking. Format: the System V ABI's ELF-64 object files,
and https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import Enum
from typing import Iterator, Mapping, Optional, Sequence

from slim_ray_image.sandbox.spool import Content

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
# More than tools write. A file that says otherwise was made to take memory or time.
_MOST_ALIGNMENT = 1 << 16
_MOST_NAMES_BYTES = 1 << 24
_NAME_BYTES = 64
_SYMBOLS_AT_ONCE = _SYMBOL_BYTES << 16


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


def _start_of_name(strings: bytes, offset: int) -> bytes:
    name, end, _ = strings[offset : offset + _NAME_BYTES].partition(b"\0")
    if not end and offset + _NAME_BYTES > len(strings):
        raise ValueError("a name that does not end in the table of names")
    return name


def _read_sections(content: Content, offset: int, count: int, names: int) -> list[_Section]:
    """Return the sections, with the starts of their names: as much as tells what a section is."""
    table = content.read_at(offset, count * _SECTION.size)
    found = [_Section(*_SECTION.unpack_from(table, n * _SECTION.size)) for n in range(count)]
    strings = content.read_at(found[names].offset, min(found[names].byte_count, _MOST_NAMES_BYTES))
    return [replace(s, name=_start_of_name(strings, s.name_offset)) for s in found]


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
    """Return symbols that name sections by their new numbers; 0 stands for one that is gone."""
    written = bytearray(symbols)
    for at in range(_SYMBOL_SECTION_AT, len(written), _SYMBOL_BYTES):
        (index,) = _SYMBOL_SECTION.unpack_from(written, at)
        if first_dropped <= index < _RESERVED_INDEXES:
            _SYMBOL_SECTION.pack_into(written, at, numbers.get(index, 0))
    return bytes(written)


@dataclass(frozen=True)
class _Layout:
    """Where what is kept goes.

    Attributes:
        stays: So many bytes from the start are where they were.
        moved: (what the section was, where its content starts), of those that move up, in order.
        headers: The new section headers.
        headers_at: Where they start.
        numbers: Index of a kept section -> its new one.
    """

    stays: int
    moved: tuple[tuple[_Section, int], ...]
    headers: tuple[_Section, ...]
    headers_at: int
    numbers: Mapping[int, int]


def _lay_out(sections: Sequence[_Section], dropped: set[int], loaded_end: int) -> _Layout:
    """Return the layout without `dropped`; what stays behind the loaded part moves up."""
    kept = [index for index in range(len(sections)) if index not in dropped]
    numbers = {index: number for number, index in enumerate(kept)}
    stays = max(
        [loaded_end, *(s.end for s in (sections[i] for i in kept) if s.offset < loaded_end)]
    )
    end, moved, headers = stays, [], {}
    for index in sorted(kept, key=lambda i: (sections[i].offset, i)):
        old = sections[index]
        new = replace(old, link=numbers[old.link])
        if new.kind in _RELOCATIONS:
            new = replace(new, information=numbers[new.information])
        if new.kind not in (0, _NO_BITS) and new.offset >= stays:
            new = replace(new, offset=_aligned(end, new.alignment))
            moved.append((old, new.offset))
            end = new.end
        headers[index] = new
    return _Layout(
        stays, tuple(moved), tuple(headers[index] for index in kept), _aligned(end, 8), numbers
    )


def _write(content: Content, header: bytes, layout: _Layout, first_dropped: int) -> Iterator[bytes]:
    """Yield the file in pieces."""
    yield header
    yield from content.chunks(len(header), layout.stays)
    end = layout.stays
    for section, start in layout.moved:
        yield bytes(start - end)
        end = start + section.byte_count
        if section.kind != _SYMBOLS:
            yield from content.chunks(section.offset, section.end)
            continue
        for at in range(section.offset, section.end, _SYMBOLS_AT_ONCE):
            symbols = content.read_at(at, min(_SYMBOLS_AT_ONCE, section.end - at))
            yield _renumbered(symbols, layout.numbers, first_dropped)
    yield bytes(layout.headers_at - end)
    yield b"".join(section.pack() for section in layout.headers)


def strip(content: Content, kind: Stripped) -> Optional[Iterator[bytes]]:
    """Return the content without what is of this kind, in pieces; None where there is nothing to strip safely.

    A file whose headers do not hold, as one that is cut off, is one of those. The content is read where it is needed:
    a library of a gigabyte is never in memory as a whole.
    """
    try:
        return _strip(content, kind)
    except (struct.error, IndexError, KeyError, OverflowError, ValueError, MemoryError):
        return None


def _holds(content: Content, sections: Sequence[_Section], sections_at: int) -> bool:
    """Tell if the sections are in the file, and nothing behind them, which only the program itself would know of."""
    table_end = sections_at + len(sections) * _SECTION.size
    end = max([table_end, *(section.end for section in sections)])
    return end == content.size and all(
        section.alignment <= _MOST_ALIGNMENT
        and (section.kind != _SYMBOLS or section.byte_count % _SYMBOL_BYTES == 0)
        for section in sections
    )


def _strip(content: Content, kind: Stripped) -> Optional[Iterator[bytes]]:
    start = content.read_at(0, _HEADER.size)
    if not start.startswith(_IDENT) or len(start) < _HEADER.size:
        return None
    header = list(_HEADER.unpack(start))
    file_kind, segments_at, sections_at = header[1], header[5], header[6]
    segment_count, section_count, names = header[10], header[12], header[13]
    is_linked = file_kind in (_EXECUTABLE, _SHARED_OBJECT)
    if not is_linked or not section_count or not segment_count:
        return None
    sections = _read_sections(content, sections_at, section_count, names)
    if not _holds(content, sections, sections_at):
        return None
    table = content.read_at(segments_at, segment_count * _SEGMENT.size)
    segments = (_SEGMENT.unpack_from(table, n * _SEGMENT.size) for n in range(segment_count))
    loaded_end = max(segments_at + segment_count * _SEGMENT.size, *(s[2] + s[5] for s in segments))
    dropped = _droppable(sections, loaded_end, kind)
    if not dropped or not _is_safe(sections, dropped, names) or sections_at < loaded_end:
        return None
    layout = _lay_out(sections, dropped, loaded_end)
    if layout.headers_at + len(layout.headers) * _SECTION.size > content.size:
        return (
            None  # sections that have content in common, which would be there as often as they are
        )
    header[6], header[12] = layout.headers_at, len(layout.headers)
    header[13] = layout.numbers[names]
    return _write(content, _HEADER.pack(*header), layout, min(dropped))
