"""Tests of sandbox.wheels.repack: which wheels packed by Pants are accepted, and how they are written."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Callable, Sequence

import pytest
from conftest import Golden, error_text, make_wheel
from installer.sources import WheelFile
from sandbox.locked_pex import pex_folder

from slim_ray_image.core.wheels.repack_request import RepackRequest
from slim_ray_image.sandbox.wheels.repack import _check_wheels, _read_wheel, _Wheel, main
from slim_ray_image.sandbox.wheels.wheel import Member, WheelLayout, read_wheel

REQUEST = RepackRequest(
    pex="built.pex",
    names=("torus",),
    address="src/app:image",
    base="python:3.10-slim",
    host_built=("torus",),
    lockfile_path="3rdparty/python/ray.lock",
    platform="linux/amd64",
    glibc="2.36",
    python_minor="3.10",
)


def test_wheel_is_what_its_files_say(sandbox: Path) -> None:
    """Name and version come from METADATA and tags from WHEEL; the file name is ignored."""
    with zipfile.ZipFile("a-2-py3-none-any.whl", "w") as wheel:
        metadata = "Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1.0\n"
        wheel.writestr("Foo.Bar-1.0.dist-info/METADATA", metadata)
        wheel.writestr(
            "Foo.Bar-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: a-b-c\nTag: d-e-f\n"
        )
        wheel.writestr("foo/_vendor/x-3.dist-info/METADATA", "Name: x\nVersion: 3\n")
    expected = _Wheel("foo-bar", "1.0", ("a-b-c", "d-e-f"))
    assert _read_wheel("a-2-py3-none-any.whl") == expected


def test_wheels_for_the_base_are_taken_and_what_may_be_built() -> None:
    """Wheels for an older glibc, for any platform, or built here with permission are accepted."""
    wheels = [
        _Wheel("cube", "1.0", ("py3-none-any",)),
        _Wheel("native", "1.0", ("cp310-cp310-manylinux_2_28_x86_64",)),
        _Wheel("torus", "1.0", ("cp310-cp310-linux_x86_64",)),
    ]
    _check_wheels(wheels, REQUEST)


def test_wheels_that_do_not_run_on_the_base_are_an_error(golden: Golden) -> None:
    """The error lists wheels for this machine's glibc or Python, and wheels that were built without permission."""
    wheels = [
        _Wheel("cube", "1.0", ("py3-none-any",)),
        _Wheel("native", "1.0", ("cp310-cp310-manylinux_2_39_x86_64",)),
        _Wheel("torus", "1.0", ("cp311-cp311-linux_x86_64",)),
        _Wheel("cone", "1.0", ("cp310-cp310-linux_x86_64",)),
    ]
    golden.check(
        "errors/wheels/packed-for-another-base.txt",
        error_text(lambda: _check_wheels(wheels, REQUEST)),
    )


def pack_as_pants_does(*requirements: str) -> None:
    """Write built.pex from the wheels in `made/` with the Pex of Pants 2.17, which installs them."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pex", *requirements, "--no-pypi", "--find-links", "made"),
            *("--intransitive", "--layout", "packed", "--no-compress", "-o", "built.pex"),
        ],
        env={"PEX_ROOT": os.path.abspath("pex-root"), "PATH": "/usr/bin:/bin"},
        check=True,
    )


def pack_as_newer_pants_does(*requirements: str) -> None:
    """Write built.pex from the wheels in `made/` with a current Pex."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pex", *requirements, "--pre-resolved-dists", "made"),
            *("--exclude", "bar", "--exclude", "qux"),
            *("--layout", "packed", "--no-compress", "-o", "built.pex"),
        ],
        env={
            "PEX_ROOT": os.path.abspath("pex-root"),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": pex_folder(),
        },
        check=True,
    )


def repack(names: Sequence[str], **changes: Any) -> None:
    """Repack for this Python and glibc, since the program runs on the Python that it repacks for."""
    request = dataclasses.replace(
        REQUEST,
        names=tuple(names),
        python_minor="{}.{}".format(*sys.version_info[:2]),
        glibc=platform.libc_ver()[1],
    )
    main(dataclasses.replace(request, **changes))


@pytest.fixture
def made(sandbox: Path) -> Path:
    """Return a folder with torus, which was built here and requires a distribution with a wheel, and with cube."""
    folder = sandbox / "made"
    folder.mkdir()
    files = {
        "torus/__init__.py": "x = 42\ndef main(): print(x)\n",
        "torus/table.csv": "1,2",
        "torus-1.0.data/scripts/tool": "#!python\nimport torus\n",
        "torus-1.0.data/scripts/shell": "#!/bin/sh\necho python\n",
        "torus-1.0.data/headers/part/torus.h": "int x;",
        "torus-1.0.data/platlib/torus_too.py": "",
        "torus-1.0.data/data/share/torus, too.txt": "shared",
    }
    make_wheel(
        folder,
        "torus",
        "1.0",
        files=files,
        entry_points="[console_scripts]\nspin = torus:main\n",
        requires=["bar>=1", "qux; extra == 'x'"],
        extras=["x"],
    )
    make_wheel(folder, "cube", "1.0", files={"cube.py": ""}, requires=["bar"])
    return folder


def members_of(wheel: Path) -> tuple[dict[str, bytes], WheelLayout]:
    """Return path in the image -> content, and the rest of a wheel, as layers read them."""
    members: dict[str, bytes] = {}

    def visit(member: Member) -> None:
        members[member.path] = b"".join(member.chunks)

    return members, read_wheel(str(wheel), "/opt/venv/lib/python3.10/site-packages", visit)


@pytest.mark.parametrize("pack", [pack_as_pants_does, pack_as_newer_pants_does])
def test_built_distributions_become_wheels(made: Path, pack: Callable[..., None]) -> None:
    """A built distribution becomes a wheel with the same image content as the original; others are ignored."""
    pack("torus==1.0", "cube==1.0")
    repack(["torus"])
    assert os.listdir("built") == ["torus-1.0-py3-none-any.whl"]
    built = members_of(Path("built/torus-1.0-py3-none-any.whl"))
    assert built == members_of(made / "torus-1.0-py3-none-any.whl")
    assert built[0]["/opt/venv/bin/tool"] == b"#!python\nimport torus\n"
    assert "/opt/venv/bin/spin" in built[0]


def test_wheels_of_builds_are_valid(made: Path) -> None:
    """RECORD has each file with its hash, so that installers accept the wheel."""
    pack_as_pants_does("torus==1.0")
    repack(["torus"])
    with WheelFile.open(Path("built/torus-1.0-py3-none-any.whl")) as wheel:
        wheel.validate_record(validate_contents=True)


def test_wheels_of_builds_are_the_same_each_time(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build in another folder gives wheels of equal bytes, so that layers are equal."""
    found = []
    for name in ("one", "other"):
        folder = made.parent / name
        shutil.copytree(made, folder / "made")
        monkeypatch.chdir(folder)
        pack_as_pants_does("torus==1.0")
        repack(["torus"])
        found.append(Path("built/torus-1.0-py3-none-any.whl").read_bytes())
    assert found[0] == found[1]


def test_wheel_for_another_base_is_not_repacked(made: Path) -> None:
    """If a wheel was built without permission, the program stops before it writes a file."""
    wheel = made / "torus-1.0-py3-none-any.whl"
    content = zipfile.ZipFile(wheel)
    files = {name: content.read(name) for name in content.namelist()}
    tag = "py3-none-linux_x86_64"
    with zipfile.ZipFile(made / f"torus-1.0-{tag}.whl", "w") as changed:
        for name, data in files.items():
            changed.writestr(name, data.replace(b"py3-none-any", tag.encode()))
    wheel.unlink()
    pack_as_pants_does("torus==1.0")
    text = error_text(lambda: repack(["torus"], host_built=()))
    assert f"  * torus 1.0: {tag}, built on this machine, which" in text
    assert not Path("built").exists()
