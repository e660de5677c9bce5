"""Tests of sandbox.packed_pex: what the inventory says of a packed distribution."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from conftest import make_deps_zip, record_line

from slim_ray_image.sandbox.packed_pex import _describe, find_shared_files

DEPS = Path(".deps")
SITE_PACKAGES = "/opt/venv/lib/python{}.{}/site-packages".format(*sys.version_info[:2])


def test_inventory_describes_a_distribution(sandbox: Path) -> None:
    """A row has the canonical name, the version, what METADATA requires, and the size of what is installed."""
    file = make_deps_zip(
        DEPS,
        "Foo.Bar",
        "1.0",
        files={"foo.py": "12345", ".prefix/bin/foo": "123"},
        requires=["b>=1", "c; extra == 'x'"],
        extras=["x"],
        has_record=False,
    )
    metadata_bytes = len(
        "Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1.0\n"
        "Requires-Dist: b>=1\nRequires-Dist: c; extra == 'x'\nProvides-Extra: x\n"
    )
    assert _describe(str(DEPS), file, {}) == {
        "file": file,
        "name": "foo-bar",
        "version": "1.0",
        "unpacked_bytes": 8 + metadata_bytes,
        "file_count": 3,
        "requires_dist": ["b>=1", "c; extra == 'x'"],
        "provides_extra": ["x"],
        "modules": ("foo",),
        "scripts": ["foo"],
        "shared_files": {},
        "part_bytes": {},
        "roots": (
            "/opt/venv/bin/foo",
            f"{SITE_PACKAGES}/Foo.Bar-1.0.dist-info",
            f"{SITE_PACKAGES}/foo.py",
        ),
        "uses": [],
    }


def test_inventory_has_the_parts_of_a_distribution(sandbox: Path) -> None:
    """Each part has the bytes of its own files; the row's sum has them too."""
    file = make_deps_zip(
        DEPS,
        "ray",
        files={
            "ray/a.py": "1",
            "ray/jars/a.jar": "123",
            "ray/data/a.py": "12",
            "ray/air/b.py": "1",
        },
        has_record=False,
    )
    row = _describe(str(DEPS), file, {})
    assert row["part_bytes"] == {"ray-data-train": 3, "ray-java": 3}


def test_inventory_has_what_a_distribution_uses_of_those_with_parts(sandbox: Path) -> None:
    """What its modules import or spell counts, but a distribution does not use itself."""
    source = "import ray.tune\nfrom ray import data\n"
    foo = make_deps_zip(DEPS, "foo", files={"foo.py": source, "foo.txt": "ray.rllib"})
    ray = make_deps_zip(DEPS, "ray", files={"ray/a.py": source})
    assert _describe(str(DEPS), foo, {})["uses"] == ["ray.data", "ray.tune"]
    assert _describe(str(DEPS), ray, {})["uses"] == []


@pytest.mark.parametrize("folder", ["foo/_vendor/", ".prefix/data/"])
def test_inventory_is_of_the_distribution_s_own_metadata(sandbox: Path, folder: str) -> None:
    """The METADATA of what a distribution brings along is not its own."""
    vendored = {f"{folder}bar-2.0.dist-info/METADATA": "Name: bar\nVersion: 2.0\n"}
    file = make_deps_zip(DEPS, "foo", files=vendored)
    row = _describe(str(DEPS), file, {})
    assert (row["name"], row["version"], row["requires_dist"]) == ("foo", "1.0", [])


def test_commands_are_those_of_files_and_of_entry_points(sandbox: Path) -> None:
    """A command is a file of `bin`, or an entry point whose script is written later."""
    file = make_deps_zip(
        DEPS,
        "foo",
        files={
            ".prefix/bin/foo.sh": "",
            ".prefix/data/bin/foo-data": "",
            ".prefix/data/etc/bar": "",
        },
        entry_points="[console_scripts]\nfoo = foo:main\n[other]\nbaz = foo:main\n",
    )
    assert _describe(str(DEPS), file, {})["scripts"] == ["foo", "foo-data", "foo.sh"]


SHARED = f"{SITE_PACKAGES}/tests.py"


def test_shared_files_are_those_of_several_distributions(sandbox: Path) -> None:
    """Equal contents have equal hashes, as RECORD has them, however a zip says where its file goes."""
    foo = make_deps_zip(DEPS, "foo", files={"tests.py": "a", "foo.py": ""})
    bar = make_deps_zip(DEPS, "bar", files={".prefix/purelib/tests.py": "a"}, has_record=False)
    baz = make_deps_zip(DEPS, "baz", files={"tests.py": "b"}, has_record=False)
    alone = make_deps_zip(DEPS, "alone", files={"__pycache__/tests.cpython-310.pyc": "c"})
    found = find_shared_files(str(DEPS))
    a, b = (record_line("", content).split(",")[1] for content in (b"a", b"b"))
    assert found == {foo: {SHARED: a}, bar: {SHARED: a}, baz: {SHARED: b}, alone: {}}


def test_record_has_a_row_for_each_file(sandbox: Path) -> None:
    """A name that some take for two lines is one, so its hash is that of RECORD."""
    name = "a\u2028b.py"
    files = []
    for distribution, recorded in (("foo", "sha256=of-foo"), ("bar", "sha256=of-bar")):
        file = make_deps_zip(DEPS, distribution, files={name: "both"}, has_record=False)
        with zipfile.ZipFile(DEPS / file, "a") as wheel:
            wheel.writestr(f"{distribution}-1.0.dist-info/RECORD", f"{name},{recorded},4\n")
        files.append(file)
    found = find_shared_files(str(DEPS))
    assert [found[file][f"{SITE_PACKAGES}/{name}"] for file in files] == [
        "sha256=of-foo",
        "sha256=of-bar",
    ]


def test_shared_file_is_what_the_distribution_itself_brought(sandbox: Path) -> None:
    """In one environment the last to be installed wins, and RECORD still says what the others had."""
    files = []
    for name, recorded in (("foo", "sha256=of-foo"), ("bar", "sha256=of-bar")):
        file = make_deps_zip(DEPS, name, files={"tests.py": "of the last"}, has_record=False)
        with zipfile.ZipFile(DEPS / file, "a") as wheel:
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", f"tests.py,{recorded},3\n")
        files.append(file)
    assert [find_shared_files(str(DEPS))[file][SHARED] for file in files] == [
        "sha256=of-foo",
        "sha256=of-bar",
    ]
