"""Tests of sandbox.wheels.pack_pex, with the locked Pex on wheels made here and without an index."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Sequence

import pytest
from conftest import Golden, error_text, make_wheel
from sandbox.locked_pex import pex_folder

from slim_ray_image.core.wheels.wheels import PexRequest
from slim_ray_image.sandbox.wheels.pack_pex import main


@pytest.fixture
def wheels(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the wheels of foo, which requires bar, and bar."""
    monkeypatch.setenv("PYTHONPATH", pex_folder())
    folder = sandbox / "wheels"
    folder.mkdir()
    make_wheel(folder, "foo", "1.0", files={"foo.py": "import bar\n"}, requires=["bar>=1"])
    make_wheel(folder, "bar", "1.0", files={"bar.py": "x = 42\n"}, requires=[])
    return folder


def pack(*requirements: str, excluded: Sequence[str] = ()) -> dict[str, bytes]:
    """Pack the wheels in the folder, and return the wheels of the PEX by file name."""
    sha256 = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path("wheels").iterdir()}
    main(PexRequest(requirements, tuple(excluded), sha256))
    return {path.name: path.read_bytes() for path in Path("requirements.pex/.deps").glob("*")}


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in the PEX, with only the interpreter of this process."""
    return subprocess.run(
        [sys.executable, "requirements.pex", "-c", code],
        env={"PEX_ROOT": os.path.abspath("pex-root"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_pex_holds_the_very_wheels(wheels: Path) -> None:
    """The PEX contains the wheel files unchanged, not installed."""
    expected = {path.name: path.read_bytes() for path in wheels.iterdir()}
    assert len(expected) == 2
    assert pack("foo==1.0", "bar==1.0") == expected


def test_pex_runs(wheels: Path) -> None:
    """The PEX can import the distributions and their requirements, even after the packed wheels are removed."""
    pack("foo==1.0", "bar==1.0")
    for path in wheels.iterdir():
        path.unlink()
    result = run("import foo; print(foo.bar.x)")
    assert (result.returncode, result.stdout) == (0, "42\n"), result.stderr


def test_pex_is_the_same_each_time(wheels: Path) -> None:
    """Equal wheels give a PEX of equal bytes, so that caches can share it."""
    found = []
    for _ in range(2):
        pack("bar==1.0", "foo==1.0")
        pex = Path("requirements.pex")
        found.append({p: p.read_bytes() for p in pex.rglob("*") if p.is_file()})
        pex.rename(f"before{len(found)}")
    assert found[0] == found[1]


def test_distributions_that_are_not_closed_are_an_error(wheels: Path, golden: Golden) -> None:
    """The error names each unmet requirement, the wheel that requires it, and the existing files of that name."""
    (wheels / "bar-1.0-py3-none-any.whl").unlink()
    requires = ["bar>=1", "foo>=2", 'qux>=3; python_version > "3"', 'win; sys_platform == "win32"']
    make_wheel(wheels, "baz", "1.0", files={"baz.py": ""}, requires=requires)
    error = error_text(lambda: pack("foo==1.0", "baz==1.0"))
    golden.check("errors/wheels/wheels-not-closed.txt", error)
    assert not Path("requirements.pex").exists()


def test_excluded_requirements_need_no_wheel(wheels: Path) -> None:
    """A requirement of a repository's wheel that is among its sources needs no wheel."""
    (wheels / "bar-1.0-py3-none-any.whl").unlink()
    assert list(pack("foo==1.0", excluded=["bar"])) == ["foo-1.0-py3-none-any.whl"]


def test_code_of_wheels_is_not_run(wheels: Path) -> None:
    """Packing runs no code of the distributions: no .pth file and no module."""
    mark = Path("mark").absolute()
    poison = f"open({str(mark)!r}, 'w').close()\n"
    files = {
        "poison.py": poison,
        "poison.pth": f"import os; {poison}import poison\n",
        "sitecustomize.py": poison,
        "usercustomize.py": poison,
        "pex/__init__.py": poison,
    }
    make_wheel(wheels, "poison", "1.0", files=files, requires=[])
    assert len(pack("foo==1.0", "bar==1.0", "poison==1.0")) == 3
    assert not mark.exists()
    # When the module is imported, it writes the mark, so the check above can fail.
    environment = {"PYTHONPATH": "wheels/poison-1.0-py3-none-any.whl"}
    subprocess.run([sys.executable, "-S", "-c", "import poison"], env=environment, check=True)
    assert mark.exists()


def test_no_distribution_makes_a_pex_without_any(sandbox: Path, wheels: Path) -> None:
    """A PEX without distributions runs."""
    for path in wheels.iterdir():
        path.unlink()
    assert pack() == {}
    assert run("print(1)").stdout == "1\n"


def test_pre_releases_and_local_versions_are_packed(wheels: Path) -> None:
    """Pre-releases and local versions are packed if the lock has them."""
    make_wheel(wheels, "pre", "2.0rc1", files={"pre.py": ""}, requires=["bar==1.*"])
    make_wheel(wheels, "local", "1.0+cpu", files={"local.py": ""}, requires=["pre>=1"])
    found = pack("foo==1.0", "bar==1.0", "pre==2.0rc1", "local==1.0+cpu")
    assert {"pre-2.0rc1-py3-none-any.whl", "local-1.0+cpu-py3-none-any.whl"} < found.keys()


def test_wheel_that_changed_since_it_was_fetched_is_an_error(wheels: Path) -> None:
    """The hash of each packed wheel is checked."""
    sha256 = {path.name: "0" * 64 for path in wheels.iterdir()}
    error = error_text(lambda: main(PexRequest(("foo==1.0", "bar==1.0"), (), sha256)))
    assert "has changed since it was fetched" in error


def test_pex_without_a_wheel_of_the_image_is_a_fault(wheels: Path) -> None:
    """A PEX that lacks a wheel, since no requirement names it, is a fault of the plugin."""
    make_wheel(wheels, "more", "1.0", files={"more.py": ""}, requires=[])
    with pytest.raises(RuntimeError, match="more-1.0"):
        pack("foo==1.0", "bar==1.0")
