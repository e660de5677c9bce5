"""Tests of sandbox.layers.strip_symbols."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Optional

import pytest
from elf import (
    COMMENT,
    DEBUG,
    LOADED,
    STRINGS,
    SYMBOLS,
    TEXT,
    live_sections,
    make_elf,
    section_content,
    section_names,
    segments_of,
)
from needs import needs, program

from slim_ray_image.sandbox.layers import strip_symbols
from slim_ray_image.sandbox.layers.strip_symbols import Stripped
from slim_ray_image.sandbox.spool import Spool

# Content that a second segment loads. Sections before it are larger than a page, because it moves by pages.
BEHIND = b"strings that a program moved to the end"
SECTION_BYTES = 5000


def strip(content: bytes, kind: Stripped) -> Optional[bytes]:
    """Return the content without this kind of content; None if nothing is stripped."""
    found = strip_symbols.strip(Spool().take([content]), kind)
    return None if found is None else b"".join(found)


def strip_all(content: bytes) -> Optional[bytes]:
    """Return the content without debug information and symbol tables; None if neither is stripped."""
    found = None
    for kind in Stripped:
        stripped = strip(content, kind)
        if stripped is not None:
            content = found = stripped
    return found


@pytest.mark.parametrize("behind", [b"", BEHIND], ids=["at the end", "between segments"])
def test_debug_information_goes_and_symbols_stay(behind: bytes) -> None:
    """Debug information and symbols are stripped independently, so native stack traces can keep names without lines."""
    content = make_elf(behind=behind, section_bytes=SECTION_BYTES)
    stripped = strip(content, Stripped.DEBUG_INFORMATION) or b""
    assert live_sections(content) - live_sections(stripped) == {".debug_info"}
    stripped = strip(content, Stripped.SYMBOLS) or b""
    assert live_sections(content) - live_sections(stripped) == {".symtab", ".strtab"}


@pytest.mark.parametrize("length", range(64, len(make_elf()), 61))
def test_file_that_is_cut_off_is_left_as_it_is(length: int) -> None:
    """A truncated file is left unchanged, wherever it ends."""
    assert strip_all(make_elf()[:length]) is None


@pytest.mark.parametrize("at", range(16, 64))
def test_header_that_does_not_hold_ends_no_build(at: int) -> None:
    """An invalid header raises no error: the file may be test data, or damaged on purpose."""
    content = bytearray(make_elf())
    content[at] = 0xFF
    strip_all(bytes(content))


def test_symbols_that_stay_name_their_sections_by_the_same_numbers() -> None:
    """The header of a stripped section stays, inactive (`SHT_NULL`), so the symbol table stays valid unchanged."""
    content = make_elf([TEXT, DEBUG, COMMENT, SYMBOLS, STRINGS])
    stripped = strip(content, Stripped.DEBUG_INFORMATION) or b""
    assert section_names(stripped) == section_names(content)
    assert live_sections(content) - live_sections(stripped) == {".debug_info"}
    assert section_content(stripped, ".symtab") == section_content(content, ".symtab")


def test_symbols_and_debug_information_go_and_the_rest_stays() -> None:
    """Symbol tables, their strings and debug information are stripped; the headers lead to the other sections."""
    content = make_elf()
    stripped = strip_all(content)
    assert stripped is not None
    assert section_names(content)[3:] == [".symtab", ".strtab", ".debug_info", ".shstrtab"]
    assert live_sections(stripped) == {".text", ".comment", ".shstrtab"}
    assert section_content(stripped, ".comment") == section_content(content, ".comment")
    assert section_content(stripped, ".text") == LOADED
    assert len(content) - len(stripped) > 3 * 96 - 8


def test_what_is_loaded_does_not_move() -> None:
    """The loaded part stays the same byte for byte, except for the offset of the section headers."""
    content = make_elf()
    stripped = strip_all(content) or b""
    end = content.index(LOADED) + len(LOADED)
    assert stripped[64:end] == content[64:end]
    changed = {number for number in range(64) if stripped[number] != content[number]}
    assert changed <= {*range(40, 48)}


@pytest.mark.parametrize("page_bytes", [4096, 1 << 16])
def test_what_is_loaded_behind_moves_up_by_pages(page_bytes: int) -> None:
    """A loaded part behind stripped sections keeps its bytes and address, and moves by whole pages."""
    content = make_elf(behind=BEHIND, page_bytes=page_bytes, section_bytes=page_bytes + 1)
    stripped = strip_all(content) or b""
    assert segments_of(content)[1][2] == BEHIND
    assert [row[:2] for row in segments_of(stripped)] == [row[:2] for row in segments_of(content)]
    assert segments_of(stripped)[1] == segments_of(content)[1]
    assert segments_of(stripped)[0][2][176:] == segments_of(content)[0][2][176:]
    assert section_content(stripped, ".dynstr") == BEHIND
    assert section_content(stripped, ".comment") == section_content(content, ".comment")
    assert (content.index(BEHIND) - stripped.index(BEHIND)) % page_bytes == 0
    assert len(content) - len(stripped) >= 3 * page_bytes


def test_zeros_at_the_end_are_nothing() -> None:
    """Fewer than a page of zeros at the end is accepted: patchelf leaves one behind a library that it changes."""
    content = make_elf()
    assert strip_all(content + b"\0") == strip_all(content) is not None
    assert strip_all(content + bytes(4096)) is None


def test_gap_that_pages_would_fill_again_stays() -> None:
    """A file that stripping would not make smaller is left unchanged."""
    assert strip_all(make_elf(behind=BEHIND)) is None


def test_stripping_twice_changes_nothing() -> None:
    """A stripped file has nothing left to strip."""
    stripped = strip_all(make_elf())
    assert stripped is not None and strip_all(stripped) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#!/bin/sh\n",
        b"\x7fELF",
        b"\x7fELF\x01\x01" + bytes(99),
        make_elf([TEXT, COMMENT]),
        make_elf(trailer=b"an archive that the program reads"),
        make_elf(behind=BEHIND, page_bytes=3 << 12, section_bytes=SECTION_BYTES),
        make_elf(behind=BEHIND, page_bytes=1 << 23, section_bytes=(1 << 23) + 1),
        make_elf(kind=1),
    ],
    ids=[
        *("empty", "script", "short", "32 bits", "stripped"),
        *("with a trailer", "a page of no power of two", "a page of 8 MiB", "object file"),
    ],
)
def test_what_cannot_be_stripped_safely_is_left_alone(content: bytes) -> None:
    """Other formats, stripped files, and files that may refer to stripped content are left unchanged."""
    assert strip_all(content) is None


def test_section_that_refers_to_what_would_go_keeps_it() -> None:
    """A symbol table stays if another section links to its strings."""
    content = bytearray(make_elf([TEXT, DEBUG, SYMBOLS, STRINGS, COMMENT]))
    headers = int.from_bytes(content[40:48], "little")
    comment = headers + 5 * 64
    content[comment + 40 : comment + 44] = (4).to_bytes(4, "little")
    assert strip(bytes(content), Stripped.SYMBOLS) is None


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        (
            Stripped.DEBUG_INFORMATION,
            "2923f651af03d562210ad371b496364f622ad0cd747e2da11e5d47cb9d2ff043",
        ),
        (Stripped.SYMBOLS, "201fc2d3431ce18c9e963cedeedaf5ac441b692dcbc7ce986f5dadd425b42a52"),
    ],
    ids=lambda value: value.name if isinstance(value, Stripped) else "",
)
def test_stripped_file_is_the_same_in_every_version(kind: Stripped, digest: str) -> None:
    """The bytes of a stripped file are fixed, since the digests of layers depend on them."""
    assert hashlib.sha256(strip(make_elf(), kind) or b"").hexdigest() == digest


def with_field(section: int, offset: int, value: int, width: int = 8) -> bytes:
    """Return an ELF file with another value at an offset of a section header (`Elf64_Shdr`)."""
    content = bytearray(make_elf())
    at = int.from_bytes(content[40:48], "little") + section * 64 + offset
    content[at : at + width] = value.to_bytes(width, "little")
    return bytes(content)


HOSTILE = {
    "alignment of 2 GiB": with_field(2, 48, 1 << 31),
    "alignment of most": with_field(2, 48, (1 << 64) - 1),
    "symbols of most": with_field(3, 32, (1 << 64) - 1),
    "names of most": with_field(6, 32, (1 << 64) - 1),
    "name outside": with_field(2, 0, 1 << 31, 4),
    "name without an end": with_field(6, 32, 30),
    "section outside": with_field(2, 24, 1 << 62),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_headers_that_ask_for_memory_or_time_get_none(content: bytes) -> None:
    """Sizes and offsets that no tool writes raise no error and cost no memory or time; the file stays unchanged."""
    start = time.process_time()
    assert strip_all(content) is None
    assert time.process_time() - start < 30


def many_sections(count: int, name_bytes: int, shared_bytes: int) -> bytes:
    """Return an ELF file whose sections share one name and one content."""
    names = b"\0" + b"a" * name_bytes + b"\0.shstrtab\0.debug_info\0"
    start = 64 + 56
    at = start + len(names)
    sections = [(1, 1, at + 8, shared_bytes)] * count
    sections += [(name_bytes + 12, 1, at, 8), (name_bytes + 2, 3, start, len(names))]
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, size, 0, 0, 1, 0)
        for name, kind, offset, size in [(0, 0, 0, 0), *sections]
    )
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, at + shared_bytes + 8, 0),
        *(64, 56, 1, 64, count + 3, count + 2),
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, start, start, 4096)
    return header + segment + names + bytes(shared_bytes + 8) + table


def test_long_name_of_many_sections_is_not_read_for_each() -> None:
    """A name of a megabyte is not read in full for each of 65,000 sections, which would be 65 GB."""
    content = many_sections(65_000, 1_000_000, 0)
    start = time.process_time()
    found = strip(content, Stripped.DEBUG_INFORMATION)
    assert time.process_time() - start < 30
    assert found is not None and len(content) - 16 < len(found) < len(content)
    assert strip(content, Stripped.SYMBOLS) is None


def test_content_of_many_sections_is_not_written_for_each() -> None:
    """A file that would grow by a megabyte for each section is left unchanged."""
    start = time.process_time()
    assert strip_all(many_sections(65_000, 8, 1_000_000)) is None
    assert time.process_time() - start < 30


def test_file_of_few_sections_that_is_made_alike_is_stripped() -> None:
    """A small file of the same form is stripped, so the two tests above can fail."""
    content = many_sections(1, 8, 100)
    assert section_names(content) == ["", "a" * 8, ".debug_info", ".shstrtab"]
    stripped = strip(content, Stripped.DEBUG_INFORMATION)
    assert live_sections(stripped or b"") == {"a" * 8, ".shstrtab"}


def with_strings_behind(content: bytes) -> bytes:
    """Move `.dynstr` of a linked library to the end, into a segment of its own, the way programs for wheels do.

    The new segment takes the program header of the first note, which nothing needs.
    """
    segments_at, sections_at = struct.unpack_from("<QQ", content, 32)
    (segment_count,) = struct.unpack_from("<H", content, 56)
    changed = bytearray(content + bytes(-len(content) % 4096))
    offset, strings = len(changed), section_content(content, ".dynstr")
    headers = [
        (at, *struct.unpack_from("<IIQQQQQQ", content, at))
        for at in range(segments_at, segments_at + segment_count * 56, 56)
    ]
    loaded = [header for header in headers if header[1] == 1]
    address = max(header[4] + header[7] for header in loaded) // 4096 * 4096 + 4096
    (note, *_) = (header[0] for header in headers if header[1] == 4)
    size = len(strings)
    struct.pack_into("<IIQQQQQQ", changed, note, 1, 4, offset, address, address, size, size, 4096)
    section = sections_at + section_names(content).index(".dynstr") * 64
    struct.pack_into("<QQ", changed, section + 16, address, offset)
    (dynamic,) = (header for header in headers if header[1] == 2)
    for at in range(dynamic[3], dynamic[3] + dynamic[6], 16):
        if struct.unpack_from("<Q", changed, at) == (5,):  # DT_STRTAB
            struct.pack_into("<Q", changed, at + 8, address)
    return bytes(changed) + strings


@needs("compiler")
@pytest.mark.parametrize("change", [bytes, with_strings_behind], ids=["linked", "changed"])
def test_stripped_library_loads_and_works(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A stripped library from a compiler loads and works, even if a program changed it after linking."""
    source = tmp_path / "answer.c"
    names = [f"a_long_name_for_the_table_of_symbols_{n}" for n in range(200)]
    source.write_text(
        "".join(f"static int {name}(void) {{ return {n}; }}\n" for n, name in enumerate(names))
        + f"int (*all[])(void) = {{{', '.join(names)}}};\nint answer(void) {{ return all[42](); }}\n"
    )
    library = tmp_path / "answer.so"
    subprocess.run([program("gcc"), "-g", "-shared", "-fPIC", "-o", library, source], check=True)
    content = change(library.read_bytes())
    stripped = strip_all(content)
    assert stripped is not None and len(content) - len(stripped) > 10_000
    for version in (content, stripped):
        library.write_bytes(version)
        script = f"import ctypes; print(ctypes.CDLL({str(library)!r}).answer())"
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
        assert result.stdout == b"42\n"
