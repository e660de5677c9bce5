"""Tests of sandbox.strip_symbols."""

from __future__ import annotations

import struct
import subprocess
import sys
import sysconfig
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

from slim_ray_image.sandbox.strip_symbols import Stripped, strip


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
