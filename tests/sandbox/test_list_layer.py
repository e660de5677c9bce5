"""Tests of sandbox.check.list_layer, which reads a layer without running anything in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import (
    TarMember,
    make_elf,
    make_layer_tar,
    record_line,
    tar_directory,
    tar_file,
    tar_hard_link,
    tar_symlink,
)

from slim_ray_image.core.check.layer_contents import (
    KIND_DIRECTORY,
    KIND_FILE,
    KIND_SYMLINK,
    RESULT,
    Elf,
    ImageFile,
    LayerContents,
    ListRequest,
)
from slim_ray_image.core.wire import from_json
from slim_ray_image.sandbox.check.list_layer import elf_facts, main, parse_scripts

SITE = "opt/venv/lib/python3.10/site-packages"


def contents_of(*members: TarMember) -> LayerContents:
    """Return the contents of a layer of these members, parsed the way the rules do."""
    main(ListRequest(make_layer_tar(Path("layer.tar.gz"), *members)))
    return from_json(LayerContents, Path(RESULT).read_text())


def test_entries_are_listed_with_kind_mode_and_owner(sandbox: Path) -> None:
    """Entries keep the tar's order and names, and whiteouts are entries: the reader of all layers applies them."""
    contents = contents_of(
        tar_directory("app", 0o750),
        tar_file("app/run", "x", 0o755),
        tar_symlink("bin", "usr/bin"),
        tar_file("etc/.wh.gone"),
    )
    assert contents.entries == (
        ("app", ImageFile(KIND_DIRECTORY, 0o750, 0, 0)),
        ("app/run", ImageFile(KIND_FILE, 0o755, 0, 0)),
        ("bin", ImageFile(KIND_SYMLINK, 0o644, 0, 0, link="usr/bin")),
        ("etc/.wh.gone", ImageFile(KIND_FILE, 0o644, 0, 0)),
    )


def test_dynamic_section_of_an_elf_file_is_read(sandbox: Path) -> None:
    """DT_NEEDED in order, DT_SONAME and the search paths are read; a hard link has the facts of its file."""
    content = make_elf("liba.so.1", "libb.so", soname="libc.so.2", runpath="$ORIGIN/../x.libs:/y")
    contents = contents_of(tar_file("lib/c.so", content), tar_hard_link("lib/d.so", "lib/c.so"))
    expected = Elf(
        "EM_X86_64/64", ("liba.so.1", "libb.so"), "libc.so.2", ("$ORIGIN/../x.libs", "/y")
    )
    assert [file.elf for _, file in contents.entries] == [expected, expected]


def test_runpath_stands_in_for_rpath() -> None:
    """DT_RPATH counts only without DT_RUNPATH, by the loader's rule."""
    both = elf_facts(make_elf(rpath="/old", runpath="/new"))
    only = elf_facts(make_elf(rpath="/old"))
    assert both and both.search == ("/new",)
    assert only and only.search == ("/old",)


def test_machine_of_an_elf_file_is_read() -> None:
    """The machine is read by its name: 183 is AArch64."""
    facts = elf_facts(make_elf(machine=183))
    assert facts and facts.machine == "EM_AARCH64/64"


@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh\n", b"\x7fELF", make_elf("liba.so")[:80]],
    ids=["empty", "script", "magic alone", "cut off"],
)
def test_file_that_is_no_whole_elf_file_has_no_facts(content: bytes) -> None:
    """An incomplete ELF file, such as a distribution's test data, raises no error."""
    facts = elf_facts(content)
    assert facts is None or facts.needed == ()


def test_elf_file_that_is_damaged_has_no_facts_or_some() -> None:
    """A damaged ELF file raises no error, whatever byte is wrong."""
    content = make_elf("liba.so")
    for at in range(16, len(content)):
        elf_facts(content[:at] + b"\xff" + content[at + 1 :])


def test_configuration_of_the_loader_is_read(sandbox: Path) -> None:
    """The loader's configuration is read, and no other text of /etc."""
    contents = contents_of(
        tar_file("etc/ld.so.conf", "include x\n"),
        tar_file("etc/ld.so.conf.d/libc.conf", "/usr/local/lib\n"),
        tar_file("etc/passwd", "root"),
    )
    assert [file.text for _, file in contents.entries] == ["include x\n", "/usr/local/lib\n", None]


def test_metadata_of_distributions_is_read(sandbox: Path) -> None:
    """Name, requirements, console scripts and, from RECORD, possible binaries of a distribution are read."""
    info = f"{SITE}/Foo_Bar-1.0.dist-info"
    record = "".join(
        record_line(path, b"")
        for path in (
            *("foo/ext.so", "foo/a.py", "../../../bin/foo-tool", "foo.libs/libz.so.1"),
            "foo/a\u2028b.so",  # no line break in a file, unlike in Python's splitlines
        )
    )
    (distribution,) = contents_of(
        tar_file(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1.0\nRequires-Dist: baz>1\n"
            'Requires-Dist: qux; extra == "q"\n\nProse.\n',
        ),
        tar_file(f"{info}/RECORD", record),
        tar_file(f"{info}/entry_points.txt", "[console_scripts]\nfoo = foo.cli : main [q]\n"),
    ).distributions
    assert distribution.name == "foo-bar"
    assert distribution.requires == ("baz>1", 'qux; extra == "q"')
    assert distribution.scripts == (("foo", "foo.cli:main"),)
    assert set(distribution.binaries) == {
        f"/{SITE}/foo/ext.so",
        "/opt/venv/bin/foo-tool",
        f"/{SITE}/foo.libs/libz.so.1",
        f"/{SITE}/foo/a\u2028b.so",
    }


def test_vendored_metadata_is_no_distribution(sandbox: Path) -> None:
    """A dist-info folder inside a distribution's folder is no installed distribution."""
    metadata = "Metadata-Version: 2.1\nName: inner\nVersion: 1.0\n"
    contents = contents_of(tar_file(f"{SITE}/ray/vendor/inner-1.0.dist-info/METADATA", metadata))
    assert contents.distributions == ()


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        pytest.param("[console_scripts]\nA-b = m.n : o.p [q]\n", {"A-b": "m.n:o.p"}, id="script"),
        pytest.param("[pytest11]\nx = y\n", {}, id="another group"),
        pytest.param("[gui_scripts]\nx = y:z\n", {}, id="scripts of windows"),
        pytest.param("", {}, id="empty"),
        pytest.param("[console_scripts]\nx = not an entry\n", {}, id="invalid entry"),
        pytest.param("x = y:z\n", {}, id="no group"),
    ],
)
def test_console_scripts_are_read(text: str, scripts: dict[str, str]) -> None:
    """Only console scripts become commands; an invalid file has none."""
    assert parse_scripts(text) == scripts


def test_listing_is_the_same_each_time(sandbox: Path) -> None:
    """Listing equal layers gives equal JSON."""

    def listing() -> Any:
        contents_of(tar_file("lib/c.so", make_elf("liba.so")), tar_file("b", "x"))
        return json.loads(Path("layer_contents.json").read_text())

    assert listing() == listing()
