"""Stage 4 of 6: strips symbol tables or debug information from an ELF file; its loaded bytes stay the same.

In and out: the content of a file, in pieces. The stripped sections lie where no program header leads: behind all loaded
parts, or between two loaded parts, where programs that change a library after linking leave them. The rest of the file
moves up, a loaded part by a multiple of the alignment that program headers ask for: the part gets the same addresses,
and nothing loaded names an offset in the file. The header of a stripped section stays, inactive, so that the numbers of
the other sections stay right. Tools for building programs lay the whole file out anew, which breaks libraries whose
program headers were changed after linking. Format: the System V ABI's ELF-64 object files, and
https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, replace
from enum import Enum
from typing import Iterator, Mapping, Optional, Sequence

from slim_ray_image.sandbox.spool import Content

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_IDENT = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_EXECUTABLE, _SHARED_OBJECT = 2, 3
_INACTIVE, _SYMBOLS, _SYMBOL_INDEXES, _NO_BITS = 0, 2, 18, 8
_RELOCATIONS = (4, 9)
_ALLOCATED = 0x2
_DEBUG_NAMES = (b".debug_", b".zdebug_", b".stab", b".gdb_index")
_LOAD = 1
_LEAST_PAGE_BYTES = 4096
_TABLE_ALIGNMENT = 8
# Limits above the values that tools write. A file that exceeds them was made to waste memory or time.
_MOST_PAGE_BYTES = 1 << 22
_MOST_ALIGNMENT = 1 << 16
_MOST_NAMES_BYTES = 1 << 24
_NAME_BYTES = 64


class Stripped(Enum):
    """Kinds of content to strip from an ELF file."""

    DEBUG_INFORMATION = "debug information"
    SYMBOLS = "symbol tables"


@dataclass(frozen=True)
class _Header:
    """The header of an ELF file (`Elf64_Ehdr`), with the offsets of the tables of program and section headers."""

    fields: tuple[object, ...]
    kind: int
    segments_at: int
    segment_count: int
    sections_at: int
    section_count: int
    names: int  # number of the section that contains the names

    @property
    def segments_end(self) -> int:
        return self.segments_at + self.segment_count * _SEGMENT.size

    @property
    def sections_end(self) -> int:
        return self.sections_at + self.section_count * _SECTION.size

    def pack(self, segments_at: int, sections_at: int) -> bytes:
        """Return the bytes of the ELF header with new offsets of the tables of program and section headers."""
        return _HEADER.pack(*self.fields[:5], segments_at, sections_at, *self.fields[7:])


@dataclass(frozen=True)
class _Segment:
    """A program header of an ELF file (`Elf64_Phdr`)."""

    kind: int
    flags: int
    offset: int
    address: int
    physical_address: int
    byte_count: int
    memory_bytes: int
    alignment: int

    @property
    def end(self) -> int:
        return self.offset + self.byte_count

    def pack(self) -> bytes:
        return _SEGMENT.pack(
            *(self.kind, self.flags, self.offset, self.address, self.physical_address),
            *(self.byte_count, self.memory_bytes, self.alignment),
        )


@dataclass(frozen=True)
class _Section:
    """A section header of an ELF file (`Elf64_Shdr`), and the section's name, cut to its first bytes."""

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
    def content_bytes(self) -> int:
        """Size of the section's content in the file, in bytes."""
        return 0 if self.kind in (_INACTIVE, _NO_BITS) else self.byte_count

    @property
    def end(self) -> int:
        return self.offset + self.content_bytes

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


def _read_header(content: Content) -> Optional[_Header]:
    """Return the ELF header of a program or a library that has sections; None for another file."""
    start = content.read_at(0, _HEADER.size)
    if not start.startswith(_IDENT) or len(start) < _HEADER.size:
        return None
    fields = _HEADER.unpack(start)
    header = _Header(fields, fields[1], fields[5], fields[10], fields[6], fields[12], fields[13])
    is_linked = header.kind in (_EXECUTABLE, _SHARED_OBJECT)
    has_tables = header.section_count and header.segment_count
    return header if is_linked and has_tables and header.segments_at >= _HEADER.size else None


def _read_sections(content: Content, header: _Header) -> list[_Section]:
    """Return the section headers of an ELF file, with starts of names that suffice to recognise debug information."""
    table = content.read_at(header.sections_at, header.section_count * _SECTION.size)
    found = [
        _Section(*_SECTION.unpack_from(table, number * _SECTION.size))
        for number in range(header.section_count)
    ]
    names = found[header.names]
    strings = content.read_at(names.offset, min(names.byte_count, _MOST_NAMES_BYTES))
    return [replace(s, name=_start_of_name(strings, s.name_offset)) for s in found]


def _read_segments(content: Content, header: _Header) -> list[_Segment]:
    table = content.read_at(header.segments_at, header.segment_count * _SEGMENT.size)
    return [
        _Segment(*_SEGMENT.unpack_from(table, number * _SEGMENT.size))
        for number in range(header.segment_count)
    ]


class _Loaded:
    """The loaded parts of an ELF file: the byte ranges that the ELF header and the program headers lead to.

    Attributes:
        spans: Offsets (start, end) of each part, in order. Parts that touch are merged.
    """

    def __init__(self, header: _Header, segments: Sequence[_Segment]) -> None:
        found = [(0, _HEADER.size), (header.segments_at, header.segments_end)]
        found += [(s.offset, s.end) for s in segments if s.byte_count or s.kind == _LOAD]
        self.spans: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if self.spans and start <= self.spans[-1][1]:
                start, last_end = self.spans.pop()
                end = max(end, last_end)
            self.spans.append((start, end))
        self._starts = [start for start, _ in self.spans]

    def number_at(self, offset: int) -> int:
        """Return the number of the last loaded part of an ELF file that starts at `offset` or before."""
        return bisect_right(self._starts, offset) - 1

    def has(self, start: int, end: int) -> bool:
        """Return whether a loaded part of an ELF file contains the bytes from `start` to `end`, at least one.

        Raises:
            ValueError: If only some of these bytes are loaded.
        """
        number = self.number_at(start)
        loaded_end = self.spans[number][1]
        if end <= loaded_end:
            return True
        if start < loaded_end or self.number_at(end - 1) != number:
            raise ValueError("bytes that are loaded only in part")
        return False


def _page_bytes(segments: Sequence[_Segment]) -> int:
    """Return the number of bytes by whose multiples a loaded part of an ELF file may move."""
    found = max([_LEAST_PAGE_BYTES, *(segment.alignment for segment in segments)])
    if found > _MOST_PAGE_BYTES or found & (found - 1):
        raise ValueError("an alignment that no tool writes")
    return found


def _droppable(sections: Sequence[_Section], loaded: _Loaded, kind: Stripped) -> set[int]:
    """Return the numbers of an ELF file's sections to strip, which are not loaded; symbol tables with their strings."""
    found = {
        number
        for number, section in enumerate(sections)
        if (
            section.name.startswith(_DEBUG_NAMES)
            if kind is Stripped.DEBUG_INFORMATION
            else section.kind in (_SYMBOLS, _SYMBOL_INDEXES)
        )
    }
    found |= {sections[number].link for number in found if sections[number].kind == _SYMBOLS}
    return {
        number
        for number in found
        if sections[number].content_bytes
        and not sections[number].flags & _ALLOCATED
        and not loaded.has(sections[number].offset, sections[number].end)
    }


def _is_referred_to(sections: Sequence[_Section], dropped: set[int]) -> bool:
    """Return whether a section of an ELF file that stays refers to a section that is stripped."""
    return any(
        section.link in dropped or (section.kind in _RELOCATIONS and section.information in dropped)
        for number, section in enumerate(sections)
        if number not in dropped
    )


@dataclass(frozen=True)
class _Piece:
    """A byte range of an ELF file that is kept whole: a loaded part, or the content of a section that is not loaded.

    Attributes:
        start: Offset of the first byte.
        end: Offset behind the last byte.
        alignment: Step in bytes: a section may move to multiples of the step, a loaded part by multiples of the step.
        section: Number of the section; None for a loaded part.
    """

    start: int
    end: int
    alignment: int
    section: Optional[int] = None

    def place_after(self, end: int) -> int:
        """Return the first offset from `end` on to which this byte range of an ELF file may move."""
        step = max(self.alignment, 1)
        return end + ((self.start if self.section is None else 0) - end) % step


def _pieces(
    sections: Sequence[_Section], dropped: set[int], loaded: _Loaded, page_bytes: int
) -> list[_Piece]:
    """Return the byte ranges of an ELF file to keep, in order: loaded parts, and the content of other sections."""
    found = [_Piece(start, end, page_bytes) for start, end in loaded.spans]
    for number, section in enumerate(sections):
        if not section.content_bytes or number in dropped:
            continue
        if not loaded.has(section.offset, section.end):
            if section.flags & _ALLOCATED:
                raise ValueError("a section of the memory to which no program header leads")
            found.append(_Piece(section.offset, section.end, section.alignment, number))
    return sorted(found, key=lambda piece: (piece.start, piece.end))


@dataclass(frozen=True)
class _Layout:
    """New offsets of the byte ranges of an ELF file that are kept.

    Attributes:
        stays: Number of bytes, from the start of the file, that do not move.
        moved: Pairs (piece, its new offset), in order.
        end: New offset behind everything that is kept.
        shifts: Number of bytes by which each loaded part moves up.
        places: Number of a section that moves on its own -> its new offset.
    """

    stays: int
    moved: tuple[tuple[_Piece, int], ...]
    end: int
    shifts: Sequence[int]
    places: Mapping[int, int]


def _lay_out(pieces: Sequence[_Piece], first_dropped: int) -> _Layout:
    """Return the new offsets of the kept byte ranges: those behind offset `first_dropped` move towards the start."""
    stays = first_dropped
    for piece in pieces:
        if piece.start < stays:
            stays = max(stays, piece.end)
    end, moved = stays, []
    shifts: list[int] = []
    for piece in pieces:
        place = piece.start
        if piece.start >= stays:
            place = piece.place_after(end)
            end = place + piece.end - piece.start
            moved.append((piece, place))
        if piece.section is None:
            shifts.append(piece.start - place)
    places = {piece.section: place for piece, place in moved if piece.section is not None}
    return _Layout(stays, tuple(moved), end, shifts, places)


def _moved(offset: int, loaded: _Loaded, layout: _Layout) -> int:
    """Return the new value of an ELF file's offset: it moves with the last loaded part that starts there or before."""
    return offset - layout.shifts[loaded.number_at(offset)]


def _new_section(
    number: int, section: _Section, dropped: set[int], loaded: _Loaded, layout: _Layout
) -> _Section:
    if number in dropped:
        return _Section(section.name_offset, _INACTIVE, 0, 0, 0, 0, 0, 0, 0, 0)
    if number in layout.places:
        return replace(section, offset=layout.places[number])
    if section.kind == _INACTIVE or section.offset <= layout.stays:
        return section
    # The header of a section without content may name any offset, even one outside the file.
    return replace(section, offset=min(_moved(section.offset, loaded, layout), layout.end))


def _patched(
    content: Content, start: int, end: int, patches: Mapping[int, bytes]
) -> Iterator[bytes]:
    """Yield the bytes of a file between two offsets, in chunks; each patch replaces the bytes at its offset."""
    for offset in sorted(patches):
        if start <= offset < end:
            yield from content.chunks(start, offset)
            yield patches[offset]
            start = offset + len(patches[offset])
    yield from content.chunks(start, end)


def _write(
    content: Content, layout: _Layout, patches: Mapping[int, bytes], at_end: bytes
) -> Iterator[bytes]:
    """Yield the stripped ELF file in chunks; `at_end` is the table of sections, unless a loaded part contains it."""
    yield from _patched(content, 0, layout.stays, patches)
    end = layout.stays
    for piece, place in layout.moved:
        yield bytes(place - end)
        yield from _patched(content, piece.start, piece.end, patches)
        end = place + piece.end - piece.start
    if at_end:
        yield bytes(-end % _TABLE_ALIGNMENT)
        yield at_end


def strip(content: Content, kind: Stripped) -> Optional[Iterator[bytes]]:
    """Return an ELF file without symbol tables or debug information, in chunks; None if nothing can be stripped safely.

    Nothing is stripped from a file with invalid headers, such as a truncated file. The content is read piece by piece:
    a library of a gigabyte is never in memory as a whole.
    """
    try:
        return _strip(content, kind)
    except (struct.error, IndexError, KeyError, OverflowError, ValueError, MemoryError):
        return None


def _holds(
    content: Content, header: _Header, sections: Sequence[_Section], loaded: _Loaded
) -> bool:
    """Return whether an ELF file ends with the last bytes that its headers lead to, and no alignment exceeds the limit.

    Fewer than a page of zeros may follow: programs that change a library leave a zero at its end. Other bytes there
    could be data of which only the program knows.
    """
    ends = [section.end for section in sections if section.content_bytes]
    end = max([header.sections_end, loaded.spans[-1][1], *ends])
    if not 0 <= content.size - end < _LEAST_PAGE_BYTES or any(content.read_at(end, content.size)):
        return False
    return all(section.alignment <= _MOST_ALIGNMENT for section in sections)


def _strip(content: Content, kind: Stripped) -> Optional[Iterator[bytes]]:
    header = _read_header(content)
    if header is None:
        return None
    sections, segments = _read_sections(content, header), _read_segments(content, header)
    loaded = _Loaded(header, segments)
    if not _holds(content, header, sections, loaded):
        return None
    dropped = _droppable(sections, loaded, kind)
    if not dropped or header.names in dropped or _is_referred_to(sections, dropped):
        return None
    first_dropped = min(sections[number].offset for number in dropped)
    layout = _lay_out(_pieces(sections, dropped, loaded, _page_bytes(segments)), first_dropped)

    table = b"".join(
        _new_section(number, section, dropped, loaded, layout).pack()
        for number, section in enumerate(sections)
    )
    is_loaded = loaded.has(header.sections_at, header.sections_end)
    if is_loaded and header.sections_at < header.segments_end:
        return None
    end = layout.end + -layout.end % _TABLE_ALIGNMENT
    table_at = _moved(header.sections_at, loaded, layout) if is_loaded else end
    if max(layout.end, table_at + len(table)) >= content.size:
        # Sections share content, which would be written once for each, or pages fill the gap again.
        return None
    patches = {
        0: header.pack(_moved(header.segments_at, loaded, layout), table_at),
        header.segments_at: b"".join(
            replace(segment, offset=_moved(segment.offset, loaded, layout)).pack()
            for segment in segments
        ),
    }
    if is_loaded:
        patches[header.sections_at] = table
    return _write(content, layout, patches, b"" if is_loaded else table)
