"""Tests of sandbox.wheels.wheel: the members of a wheel, and files that are no valid wheel."""

from __future__ import annotations

import hashlib
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

import pytest
from conftest import Content, error_text, hash_of, make_wheel

from slim_ray_image.sandbox.wheels.wheel import Member, WheelLayout, check_wheel, read_wheel

SITE_PACKAGES = "/opt/venv/lib/python3.10/site-packages"
WHEELS = Path("wheels")
FOO = "foo-1.0-py3-none-any.whl"


@dataclass(frozen=True)
class Seen:
    """Members of a wheel by path in the image: contents, hashes in RECORD and sizes; and the paths of executables."""

    layout: WheelLayout
    contents: Mapping[str, bytes]
    hashes: Mapping[str, Optional[str]]
    sizes: Mapping[str, int]
    executables: frozenset[str]


def read(wheel: Path) -> Seen:
    contents: dict[str, bytes] = {}
    members: dict[str, Member] = {}

    def visit(member: Member) -> None:
        assert member.path not in members
        contents[member.path] = b"".join(member.chunks)
        members[member.path] = member

    layout = read_wheel(str(wheel), SITE_PACKAGES, visit)
    return Seen(
        layout,
        contents,
        {path: str(m.recorded) if m.recorded else None for path, m in members.items()},
        {path: m.byte_count for path, m in members.items()},
        frozenset(path for path, m in members.items() if m.is_executable),
    )


def refusal(wheel: Path) -> str:
    """Return the evidence of the error that rejects a wheel, after checking that the error names the wheel."""
    start, _, evidence = error_text(lambda: read(wheel)).partition("\n\n  * ")
    assert start == (
        f"The wheel {wheel.name} cannot be installed: it does not follow the wheel format."
    )
    why, _, fix = evidence.partition("\n\n")
    assert fix == "To fix, require another version of it, and tell its maintainers."
    return why


# --- Files


def test_each_file_is_seen_with_what_record_says(sandbox: Path) -> None:
    """Each file except RECORD has its path in the image, content, size and hash; METADATA is unchanged."""
    wheel = make_wheel(
        WHEELS,
        "foo",
        files={"foo/a.py": "x", "foo/run": "y", "foo-1.0.data/scripts/tool": "z"},
        executables=["foo/run"],
        recorded={"foo/run": None},
    )
    seen = read(wheel)
    assert seen.contents.keys() == {
        f"{SITE_PACKAGES}/foo/a.py",
        f"{SITE_PACKAGES}/foo/run",
        "/opt/venv/bin/tool",
        f"{SITE_PACKAGES}/foo-1.0.dist-info/METADATA",
        f"{SITE_PACKAGES}/foo-1.0.dist-info/WHEEL",
    }
    assert seen.contents["/opt/venv/bin/tool"] == b"z"
    assert seen.sizes == {path: len(content) for path, content in seen.contents.items()}
    assert seen.hashes == {
        path: None if path.endswith("/run") else hash_of(content)
        for path, content in seen.contents.items()
    }
    assert seen.executables == {f"{SITE_PACKAGES}/foo/run", "/opt/venv/bin/tool"}
    assert seen.layout == WheelLayout(
        metadata="Metadata-Version: 2.1\nName: foo\nVersion: 1.0\n",
        record=f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD",
        scripts=(),
    )


def test_scripts_of_entry_points_are_seen(sandbox: Path) -> None:
    """Scripts of entry points are executable, have no hash in RECORD, and replace the wheel's own scripts."""
    wheel = make_wheel(
        WHEELS,
        "foo",
        files={"foo-1.0.data/scripts/foo": "theirs"},
        entry_points="[console_scripts]\nfoo = foo:main\n[gui_scripts]\nbar = foo:main\n[x]\ny = z",
    )
    seen = read(wheel)
    assert seen.layout.scripts == ("bar", "foo")
    for path in ("/opt/venv/bin/bar", "/opt/venv/bin/foo"):
        assert seen.contents[path].startswith(b"#!/opt/venv/bin/python\n")
        assert seen.hashes[path] is None and path in seen.executables


def test_name_of_the_wheel_may_be_spelled_in_another_way(sandbox: Path) -> None:
    """The data folder's name follows the .dist-info folder, not the file name of the wheel."""
    wheel = make_wheel(WHEELS, "Foo.Bar", files={"Foo.Bar-1.0.data/data/share/a": "x"})
    renamed = wheel.rename(WHEELS / "foo_bar-1.0-py3-none-any.whl")
    seen = read(renamed)
    assert "/opt/venv/share/a" in seen.contents
    assert seen.layout.record == f"{SITE_PACKAGES}/Foo.Bar-1.0.dist-info/RECORD"


def test_metadata_beside_the_wheel_s_own_is_no_metadata(sandbox: Path) -> None:
    """RECORD and entry points of a vendored distribution are ordinary files."""
    files = {
        "foo/_vendor/bar-2.dist-info/RECORD": "not,a,record,at,all\n",
        "foo/_vendor/bar-2.dist-info/entry_points.txt": "[console_scripts]\nbar = bar:main",
    }
    seen = read(make_wheel(WHEELS, "foo", files=files))
    assert {f"{SITE_PACKAGES}/{name}" for name in files} <= set(seen.contents)
    assert seen.layout.scripts == ()


@pytest.mark.parametrize(
    "name",
    [
        *("foo/a b.py", "foo/a, b.py", 'foo/"a".py', "foo/caf\u00e9.py", "foo/a\u2028b.py"),
        *("foo/..py", "foo/...", "foo/.hidden", "foo/a\\b", "foo/C:", "foo/-rf", "foo-1.0.dat/x/y"),
    ],
    ids=ascii,
)
def test_unusual_name_is_the_file_s_own(sandbox: Path, name: str) -> None:
    """Any name that a tar supports is accepted, and is matched with its line in RECORD."""
    seen = read(make_wheel(WHEELS, "foo", files={name: "x"}))
    assert seen.contents[f"{SITE_PACKAGES}/{name}"] == b"x"
    if "\\" not in name:  # in RECORD, installer reads a backslash as a path separator
        assert seen.hashes[f"{SITE_PACKAGES}/{name}"] == hash_of(b"x")


def test_lines_of_record_may_end_in_other_ways(sandbox: Path) -> None:
    """Lines of RECORD may end as on other systems, with empty lines between them."""
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": "x"}, has_record=False)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(
            "foo-1.0.dist-info/RECORD", f"\r\nfoo.py,{hash_of(b'x')},1\r\n\r\n".encode()
        )
    assert read(wheel).hashes[f"{SITE_PACKAGES}/foo.py"] == hash_of(b"x")


# --- Rejected wheels


@pytest.mark.parametrize(
    "name",
    [
        *("../a.py", "foo/../../a.py", "foo/..", "foo/../b.py", "..", "foo-1.0.data/data/../../a"),
        *("foo-1.0.data/scripts/../../../usr/bin/x", "/etc/passwd", "//etc/passwd", "./a.py"),
        *("foo//a.py", "foo/./a.py", "a\nb.py", "foo-1.0.data/scripts/a\rb", "a\x1b[2Jb", "a\x7f"),
        *("a\x85b", "foo-1.0.dist-info/a\tb"),
    ],
    ids=ascii,
)
def test_name_that_no_file_of_an_image_has_is_refused(sandbox: Path, name: str) -> None:
    """A name is rejected if it leaves its folder, is absolute, is not normalised or has a control character."""
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": "", name: ""})
    assert refusal(wheel) == f"{name!r} is not a valid file name"


@pytest.mark.parametrize("name", ["../../usr/bin/sh", "/usr/bin/sh", "a\x1bb", ".", "..", "a//b"])
def test_command_that_no_file_of_an_image_can_be_is_refused(sandbox: Path, name: str) -> None:
    """An entry point's name is checked like the name of a file."""
    wheel = make_wheel(WHEELS, "foo", entry_points=f"[console_scripts]\n{name} = foo:main\n")
    assert refusal(wheel) == f"{name!r} is not a valid file name"


@pytest.mark.parametrize(
    "name", ["foo-1.0.data", "foo-1.0.data/a.py", "foo-1.0.data/scripts", "foo-1.0.data.txt"]
)
def test_file_of_no_folder_of_data_is_refused(sandbox: Path, name: str) -> None:
    """A file directly in the data folder is rejected, since a subfolder determines its place."""
    start = time.process_time()
    wheel = make_wheel(WHEELS, "foo", files={name: ""})
    assert refusal(wheel) == f"{name!r} is not in a folder of foo-1.0.data"
    assert time.process_time() - start < 5


def test_file_of_an_unknown_folder_of_data_is_refused(sandbox: Path) -> None:
    """A file in an unknown subfolder of the data folder is rejected, since its place is unknown."""
    wheel = make_wheel(WHEELS, "foo", files={"foo-1.0.data/nowhere/a": ""})
    assert "foo-1.0.data/nowhere/a is not contained in a valid .data subdirectory" in refusal(wheel)


def altered(**files: Optional[Content]) -> Path:
    """Return a wheel with changed metadata files; None removes a file."""
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": ""})
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            found = files.get(Path(name).name, content)
            if found is not None:
                archive.writestr(name, found)
    return wheel


@pytest.mark.parametrize("name", ["METADATA", "RECORD", "WHEEL"])
def test_wheel_without_its_metadata_is_refused(sandbox: Path, name: str) -> None:
    """A wheel that lacks one of the three metadata files is rejected."""
    assert f"foo-1.0.dist-info/{name}" in refusal(altered(**{name: None}))


@pytest.mark.parametrize(
    "record",
    ["foo.py,sha256=abc\n", "foo.py,abc,3\n", "foo.py,sha256=abc,three\n", b"\xff"],
    ids=["two columns", "no hash", "no size", "no UTF-8"],
)
def test_wheel_with_another_record_is_refused(sandbox: Path, record: Content) -> None:
    """A wheel with a malformed RECORD is rejected."""
    assert refusal(altered(RECORD=record))


@pytest.mark.parametrize(
    "entry_points",
    [
        *(
            "no section\n",
            "[console_scripts]\nno value\n",
            "[console_scripts]\nfoo = no.attribute\n",
        ),
        *("[console_scripts]\nfoo = a b:c\n", "[console_scripts]\nfoo = %(bar)s:x\n"),
    ],
)
def test_wheel_with_entry_points_that_call_nothing_is_refused(
    sandbox: Path, entry_points: str
) -> None:
    """A wheel whose entry point cannot be called is rejected."""
    assert refusal(make_wheel(WHEELS, "foo", entry_points=entry_points))


def test_wheel_of_another_version_of_the_format_is_refused(sandbox: Path) -> None:
    """A wheel of another major version of the format is rejected."""
    assert "Incompatible Wheel-Version 2.0" in refusal(altered(WHEEL="Wheel-Version: 2.0\n"))


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x05\x06" + bytes(18)])
def test_file_that_is_no_wheel_is_refused(sandbox: Path, content: bytes) -> None:
    """An HTML page, an empty file and an empty archive are rejected."""
    WHEELS.mkdir()
    wheel = WHEELS / FOO
    wheel.write_bytes(content)
    assert refusal(wheel)


def test_wheel_that_is_damaged_is_refused(sandbox: Path) -> None:
    """A file with a wrong checksum is rejected when it is read, even without a hash in RECORD."""
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": "here"}, recorded={"foo.py": None})
    content = wheel.read_bytes()
    assert content.count(b"here") == 1
    wheel.write_bytes(content.replace(b"here", b"Here"))
    assert refusal(wheel) == "Bad CRC-32 for file 'foo.py'"


def test_wheel_that_is_encrypted_is_refused(sandbox: Path) -> None:
    """An encrypted wheel is rejected."""
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": "here"})
    content = bytearray(wheel.read_bytes())
    for start, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(start) + flags] |= 1
    wheel.write_bytes(bytes(content))
    assert "encrypted" in refusal(wheel)


def test_two_folders_of_metadata_are_refused(sandbox: Path) -> None:
    """A wheel with the metadata of two distributions is rejected."""
    wheel = make_wheel(WHEELS, "foo", files={"bar-1.0.dist-info/METADATA": "Name: bar\n"})
    assert "exactly one .dist-info" in refusal(wheel)


# --- The wheel itself


def test_wheel_of_these_bytes_is_accepted_and_no_other(sandbox: Path) -> None:
    """The SHA-256 of the whole file must be the lock's."""
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": ""})
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    check_wheel(str(wheel), sha256)
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    other = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert error_text(lambda: check_wheel(str(wheel), sha256)) == (
        f"The wheel {FOO} has changed since it was fetched, on a disk or in a cache.\n"
        "\n"
        f"  * its SHA-256 is {other}, not {sha256}\n"
        "\n"
        "To fix, remove Pants' store, `[GLOBAL].local_store_dir`, and check the disk that contains it."
    )
