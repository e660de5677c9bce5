"""Tests of sandbox.strip_symbols."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Optional

import pytest
from elf import (
    COMMENT,
    DEBUG,
    LOADED,
    STRINGS,
    SYMBOLS,
    TEXT,
    make_elf,
    section_content,
    section_names,
)
from needs import needs, program

from slim_ray_image.sandbox import strip_symbols
from slim_ray_image.sandbox.spool import Spool
from slim_ray_image.sandbox.strip_symbols import Stripped


def strip(content: bytes, kind: Stripped) -> Optional[bytes]:
    """The content without what is of this kind; None where that stays."""
    found = strip_symbols.strip(Spool().take([content]), kind)
    return None if found is None else b"".join(found)


def strip_all(content: bytes) -> Optional[bytes]:
    """The content without debug information and symbol tables, None where neither goes."""
    found = None
    for kind in Stripped:
        stripped = strip(content, kind)
        if stripped is not None:
            content = found = stripped
    return found


def test_debug_information_goes_and_symbols_stay() -> None:
    """Each kind goes alone, so that names in native stack traces can stay without lines."""
    stripped = strip(make_elf(), Stripped.DEBUG_INFORMATION)
    assert section_names(stripped or b"")[3:] == [".symtab", ".strtab", ".shstrtab"]
    stripped = strip(make_elf(), Stripped.SYMBOLS)
    assert section_names(stripped or b"")[3:] == [".debug_info", ".shstrtab"]


@pytest.mark.parametrize("length", range(64, len(make_elf()), 61))
def test_file_that_is_cut_off_is_left_as_it_is(length: int) -> None:
    """Wherever it ends: nothing in it can be relied on."""
    assert strip_all(make_elf()[:length]) is None


@pytest.mark.parametrize("at", range(16, 64))
def test_header_that_does_not_hold_ends_no_build(at: int) -> None:
    """Its file may be a test's data, or kept from being read on purpose."""
    content = bytearray(make_elf())
    content[at] = 0xFF
    strip_all(bytes(content))


def test_symbols_that_stay_name_their_sections_by_the_new_numbers() -> None:
    """A symbol of a section that went has none, one of a section behind it the number that it has now."""
    content = bytearray(make_elf([TEXT, DEBUG, COMMENT, SYMBOLS, STRINGS]))
    table = content.index(b".symtab" * 3)
    content[table : table + 96] = b"".join(
        struct.pack("<IBBHQQ", 0, 3, 0, index, 0, 0) for index in (1, 2, 3, 0xFFF1)
    )
    stripped = strip(bytes(content), Stripped.DEBUG_INFORMATION) or b""
    symbols = section_content(stripped, ".symtab")
    assert [struct.unpack_from("<IBBH", symbols, at)[3] for at in range(0, 96, 24)] == [
        *(1, 0, 2, 0xFFF1)
    ]


def test_symbols_and_debug_information_go_and_the_rest_stays() -> None:
    """Tables of symbols, their strings and debug information go; others are where the headers say."""
    content = make_elf()
    stripped = strip_all(content)
    assert stripped is not None
    assert section_names(content)[3:] == [".symtab", ".strtab", ".debug_info", ".shstrtab"]
    assert section_names(stripped) == ["", ".text", ".comment", ".shstrtab"]
    assert section_content(stripped, ".comment") == section_content(content, ".comment")
    assert section_content(stripped, ".text") == LOADED
    assert len(stripped) < len(content) - 3 * 99


def test_what_is_loaded_does_not_move() -> None:
    """But for the place and number of the section headers, the loaded part is the same byte for byte."""
    content = make_elf()
    stripped = strip_all(content) or b""
    end = content.index(LOADED) + len(LOADED)
    assert stripped[64:end] == content[64:end]
    changed = {number for number in range(64) if stripped[number] != content[number]}
    assert changed <= {*range(40, 48), *range(60, 64)}


def test_stripping_twice_changes_nothing() -> None:
    """There is nothing left to strip."""
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
        make_elf([SYMBOLS, STRINGS, TEXT]),
        make_elf(kind=1),
    ],
    ids=[
        *("empty", "script", "short", "32 bits", "stripped"),
        *("with a trailer", "symbols before the text", "object file"),
    ],
)
def test_what_cannot_be_stripped_safely_is_left_alone(content: bytes) -> None:
    """Other formats, what is stripped already, and files in which something could refer to what would go."""
    assert strip_all(content) is None


def test_section_that_refers_to_what_would_go_keeps_it() -> None:
    """A section that links to the strings by their number would name another one."""
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
            "5dc77dc5fddcd4c3cd1d704fa3166c3cd67b159d0a0695f6e4fab28c61b5baf3",
        ),
        (Stripped.SYMBOLS, "065181f0d51681adc1079173120883a1882eb6822050d6af4adf2f1437a668c4"),
    ],
    ids=lambda value: value.name if isinstance(value, Stripped) else "",
)
def test_stripped_file_is_the_same_in_every_version(kind: Stripped, digest: str) -> None:
    """The digests of layers hang on it: each is what the first version of this program made."""
    assert hashlib.sha256(strip(make_elf(), kind) or b"").hexdigest() == digest


def with_field(section: int, offset: int, value: int, width: int = 8) -> bytes:
    """A file whose section header, by its number, has another value at an offset (`Elf64_Shdr`)."""
    content = bytearray(make_elf())
    at = int.from_bytes(content[40:48], "little") + section * 64 + offset
    content[at : at + width] = value.to_bytes(width, "little")
    return bytes(content)


HOSTILE = {
    "alignment of 2 GiB": with_field(2, 48, 1 << 31),
    "alignment of most": with_field(2, 48, (1 << 64) - 1),
    "symbols in part": with_field(3, 32, 95),
    "symbols of most": with_field(3, 32, (1 << 64) - 1),
    "names of most": with_field(6, 32, (1 << 64) - 1),
    "name outside": with_field(2, 0, 1 << 31, 4),
    "name without an end": with_field(6, 32, 30),
    "section outside": with_field(2, 24, 1 << 62),
    "link to no section": with_field(2, 40, 1 << 31, 4),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_headers_that_ask_for_memory_or_time_get_none(content: bytes) -> None:
    """A size or a place that no tool writes ends nothing, and takes nothing: the file stays as it is."""
    start = time.process_time()
    assert strip_all(content) is None
    assert time.process_time() - start < 30


def many_sections(count: int, name_bytes: int, shared_bytes: int) -> bytes:
    """A file of sections that have one name in common, and one content."""
    names = b"\0" + b"a" * name_bytes + b"\0.shstrtab\0.debug_info\0"
    start = 64 + 56
    at = start + len(names)
    sections = [(1, 1, at, shared_bytes)] * count
    sections += [(name_bytes + 12, 1, at, shared_bytes), (name_bytes + 2, 3, start, len(names))]
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, size, 0, 0, 1, 0)
        for name, kind, offset, size in [(0, 0, 0, 0), *sections]
    )
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, at + shared_bytes, 0),
        *(64, 56, 1, 64, count + 3, count + 2),
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, start, start, 4096)
    return header + segment + names + bytes(shared_bytes) + table


def test_long_name_of_many_sections_is_not_read_for_each() -> None:
    """A megabyte 65,000 times would be 65 GB."""
    content = many_sections(65_000, 1_000_000, 0)
    start = time.process_time()
    found = strip(content, Stripped.DEBUG_INFORMATION)
    assert time.process_time() - start < 30
    assert found is not None and len(found) == len(content) - 64
    assert strip(content, Stripped.SYMBOLS) is None


def test_content_of_many_sections_is_not_written_for_each() -> None:
    """A file that would grow when it is stripped, a megabyte for each section, is left alone."""
    start = time.process_time()
    assert strip_all(many_sections(65_000, 8, 1_000_000)) is None
    assert time.process_time() - start < 30


def test_file_of_few_sections_that_is_made_alike_is_stripped() -> None:
    """The two tests above are of files that would be stripped, were they not so large."""
    content = many_sections(1, 8, 100)
    assert section_names(content) == ["", "a" * 8, ".debug_info", ".shstrtab"]
    stripped = strip(content, Stripped.DEBUG_INFORMATION)
    assert section_names(stripped or b"") == ["", "a" * 8, ".shstrtab"]


@needs("compiler")
def test_stripped_extension_module_loads_and_works(tmp_path: Path) -> None:
    """What a compiler makes, with debug information, loads without it."""
    source = tmp_path / "answer.c"
    source.write_text("int answer(void) { return 42; }\n")
    library = tmp_path / f"answer{sysconfig.get_config_var('SHLIB_SUFFIX')}"
    subprocess.run([program("gcc"), "-g", "-shared", "-fPIC", "-o", library, source], check=True)
    content = library.read_bytes()
    stripped = strip_all(content)
    assert stripped is not None and len(stripped) < len(content)
    library.write_bytes(stripped)
    script = f"import ctypes; print(ctypes.CDLL({str(library)!r}).answer())"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert result.stdout == b"42\n"
