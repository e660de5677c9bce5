"""Tests of sandbox.pack: what the inventory says of a packed distribution."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import make_deps_zip

from slim_ray_image.sandbox.pack import _describe

DEPS = Path("requirements.pex", ".deps")


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
    assert _describe(file) == {
        "file": file,
        "name": "foo-bar",
        "version": "1.0",
        "unpacked_bytes": 8 + metadata_bytes,
        "file_count": 3,
        "requires_dist": ["b>=1", "c; extra == 'x'"],
        "provides_extra": ["x"],
        "modules": ("foo",),
    }


@pytest.mark.parametrize("folder", ["foo/_vendor/", ".prefix/data/"])
def test_inventory_is_of_the_distribution_s_own_metadata(sandbox: Path, folder: str) -> None:
    """The METADATA of what a distribution brings along is not its own."""
    vendored = {f"{folder}bar-2.0.dist-info/METADATA": "Name: bar\nVersion: 2.0\n"}
    file = make_deps_zip(DEPS, "foo", files=vendored)
    row = _describe(file)
    assert (row["name"], row["version"], row["requires_dist"]) == ("foo", "1.0", [])
