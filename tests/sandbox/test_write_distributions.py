"""Tests of sandbox.layers.write_distribution_layer, write_slice and join_slices: the content of their layers."""

from __future__ import annotations

import csv
import io
import itertools
import os
import random
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Sequence

import pytest
from conftest import (
    Content,
    Layer,
    digest_of,
    error_text,
    hash_of,
    make_wheel,
    piece_of,
    record_line,
)
from elf import make_elf

from slim_ray_image.core.layers.distributions_layer import (
    SLICE,
    SLICE_RESULT,
    DistributionLayerResult,
    JoinRequest,
    JoinResult,
    PiecesFacts,
    PiecesRequest,
    SliceResult,
)
from slim_ray_image.core.layers.layer_blob import BLOB, RESULT, LayerBase
from slim_ray_image.core.wire import from_json
from slim_ray_image.sandbox.layers import join_slices, write_distribution_layer, write_slice

VENV = "opt/venv"
SITE_PACKAGES = f"{VENV}/lib/python3.10/site-packages"
TAG = sys.implementation.cache_tag
BASE_DIRECTORIES = ["/", "/opt", "/usr", "/usr/local", "/usr/local/bin"]
WHEELS = Path("wheels")
FOO = "foo-1.0-py3-none-any.whl"


def base_of(directories: Sequence[str] = BASE_DIRECTORIES, timestamp: int = 0) -> LayerBase:
    return LayerBase("/usr/local/bin/python3.10", "3.10.13", tuple(directories), timestamp)


def request_of(
    *wheels: Path,
    prune: Sequence[str] = (),
    bytecode: bool = False,
    directories: Sequence[str] = BASE_DIRECTORIES,
    commands: Sequence[str] = (),
    timestamp: int = 0,
) -> PiecesRequest:
    return PiecesRequest(
        pieces=tuple(map(piece_of, wheels)),
        prune=tuple(prune),
        exclude_files=(),
        bytecode=bytecode,
        commands=tuple(commands),
        base=base_of(directories, timestamp),
    )


def write(*wheels: Path, **changes: Any) -> bytes:
    """Write the layer of these wheels, and return its blob."""
    write_distribution_layer.main(request_of(*wheels, **changes))
    return Path(BLOB).read_bytes()


def write_facts(*wheels: Path, **changes: Any) -> PiecesFacts:
    """Write the layer of these wheels, and return its facts."""
    write(*wheels, **changes)
    return from_json(DistributionLayerResult, Path(RESULT).read_bytes()).facts


def write_slices(*slices: Sequence[Path], **changes: Any) -> tuple[JoinRequest, list[PiecesFacts]]:
    """Write slices of these wheels to `slices`, and return the request to join them and their facts."""
    results = []
    Path("slices").mkdir(exist_ok=True)
    for number, wheels in enumerate(slices):
        write_slice.main(request_of(*wheels, **changes))
        Path(SLICE).rename(f"slices/{number}")
        results.append(from_json(SliceResult, Path(SLICE_RESULT).read_bytes()))
    request = JoinRequest(
        slices=tuple(f"slices/{number}" for number in range(len(slices))),
        directories=tuple(sorted({path for result in results for path in result.directories})),
        unpacked_bytes=sum(result.unpacked_bytes for result in results),
        file_count=sum(result.file_count for result in results),
        base=base_of(
            changes.get("directories", BASE_DIRECTORIES), timestamp=changes.get("timestamp", 0)
        ),
    )
    return request, [result.facts for result in results]


def write_shared(*slices: Sequence[Path], **changes: Any) -> bytes:
    """Write the layer of the virtual environment and of slices of these wheels, and return its blob."""
    join_slices.main(write_slices(*slices, **changes)[0])
    return Path(BLOB).read_bytes()


def files_of(layer: Layer) -> list[str]:
    """Return the paths of files and links, without the metadata of the distributions."""
    return [n for n, m in layer.members.items() if not m.isdir() and ".dist-info" not in n]


# --- Where files go


def test_files_go_to_site_packages(sandbox: Path) -> None:
    """A distribution's modules and metadata are installed."""
    wheel = make_wheel(WHEELS, "foo", files={"foo/__init__.py": "x = 1", "foo_data.txt": "y"})
    layer = Layer(write(wheel))
    assert sorted(layer.contents) == [
        f"{SITE_PACKAGES}/foo-1.0.dist-info/METADATA",
        f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD",
        f"{SITE_PACKAGES}/foo-1.0.dist-info/WHEEL",
        f"{SITE_PACKAGES}/foo/__init__.py",
        f"{SITE_PACKAGES}/foo_data.txt",
    ]
    assert layer.contents[f"{SITE_PACKAGES}/foo/__init__.py"] == b"x = 1"


@pytest.mark.parametrize(
    ("member", "placed"),
    [
        ("scripts/tool.sh", f"{VENV}/bin/tool.sh"),
        ("data/share/man/foo.1", f"{VENV}/share/man/foo.1"),
        ("data/etc/foo.conf", f"{VENV}/etc/foo.conf"),
        ("headers/foo.h", f"{VENV}/include/site/python3.10/foo/foo.h"),
        ("purelib/foo.py", f"{SITE_PACKAGES}/foo.py"),
        ("platlib/foo.so", f"{SITE_PACKAGES}/foo.so"),
    ],
)
def test_files_of_data_go_where_the_wheel_meant_them(
    sandbox: Path, member: str, placed: str
) -> None:
    """Files of each scheme of a wheel go where pip would install them (PEP 427)."""
    wheel = make_wheel(WHEELS, "foo", files={f"foo-1.0.data/{member}": "content"})
    layer = Layer(write(wheel))
    assert files_of(layer) == [placed]
    assert layer.contents[placed] == b"content"


def test_pth_file_is_installed_and_never_run(sandbox: Path) -> None:
    """A .pth file is for the image's interpreter at its start; no program that makes the layer runs its code."""
    line = f"import pathlib; pathlib.Path({str(sandbox / 'mark')!r}).touch()\n"
    wheel = make_wheel(WHEELS, "foo", files={"foo.pth": line, "foo.py": "x = 1"})
    layer = Layer(write(wheel, bytecode=True))
    assert layer.contents[f"{SITE_PACKAGES}/foo.pth"] == line.encode()
    assert f"{SITE_PACKAGES}/__pycache__/foo.{TAG}.pyc" in layer.names
    assert not (sandbox / "mark").exists()


def test_bytecode_that_a_distribution_brings_is_left_out(sandbox: Path) -> None:
    """A pyc from the wheel is neither installed nor listed in RECORD."""
    wheel = make_wheel(
        WHEELS, "foo", files={"foo/a.py": "", "foo/__pycache__/a.cpython-310.pyc": "theirs"}
    )
    layer = Layer(write(wheel))
    assert files_of(layer) == [f"{SITE_PACKAGES}/foo/a.py"]
    assert b"pycache" not in layer.contents[f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD"]


def test_metadata_of_a_vendored_distribution_is_a_file_like_others(sandbox: Path) -> None:
    """Entry points in a dist-info folder below the top level make no commands."""
    vendored = "foo/_vendor/bar-2.dist-info/entry_points.txt"
    wheel = make_wheel(
        WHEELS,
        "foo",
        files={
            vendored: "[console_scripts]\nray = bar:main",
            "foo/_vendor/bar-2.dist-info/METADATA": "Name: bar",
        },
    )
    assert "usr/local/bin/ray" not in Layer(write(wheel)).names


def test_executables_stay_executable_and_others_do_not_become_it(sandbox: Path) -> None:
    """Files that are executable in the wheel, and all scripts, are executable; other files are not."""
    wheel = make_wheel(
        WHEELS,
        "foo",
        files={
            "foo/raylet": "ELF",
            "foo/a.py": "",
            "foo-1.0.data/scripts/tool": "#!/bin/sh\n",
        },
        executables=["foo/raylet"],
    )
    layer = Layer(write(wheel))
    modes = {name: layer.members[name].mode for name in files_of(layer)}
    assert modes == {
        f"{SITE_PACKAGES}/foo/raylet": 0o755,
        f"{SITE_PACKAGES}/foo/a.py": 0o644,
        f"{VENV}/bin/tool": 0o755,
    }


# --- Scripts


def test_console_script_runs_on_the_environment_s_python(sandbox: Path) -> None:
    """The script of an entry point names the interpreter at its final path, and replaces a file of the wheel."""
    wheel = make_wheel(
        WHEELS,
        "foo",
        files={"foo-1.0.data/scripts/foo": "#!python\nimport bootstrap"},
        entry_points="[console_scripts]\nfoo = foo.cli:main\n",
    )
    layer = Layer(write(wheel))
    assert layer.contents[f"{VENV}/bin/foo"].decode() == (
        "#!/opt/venv/bin/python\n"
        "# -*- coding: utf-8 -*-\n"
        "import re\n"
        "import sys\n"
        "from foo.cli import main\n"
        'if __name__ == "__main__":\n'
        '    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])\n'
        "    sys.exit(main())\n"
    )
    assert layer.members[f"{VENV}/bin/foo"].mode == 0o755


@pytest.mark.parametrize(
    ("entry_points", "call"),
    [
        pytest.param("[console_scripts]\nfoo=foo.cli:main", "main", id="no spaces"),
        pytest.param("[console_scripts]\nfoo = foo.cli : app.run [fast]", "app.run", id="extras"),
        pytest.param("[gui_scripts]\nfoo = foo.cli:main", "main", id="GUI"),
        pytest.param("[x]\na%b = c\n[console_scripts]\nfoo = foo.cli:main", "main", id="others"),
        pytest.param(
            "[console_scripts]\nfoo = old:x\nfoo = foo.cli:main",
            "main",
            id="repeated, the last wins",
        ),
    ],
)
def test_console_script_calls_its_entry_point(sandbox: Path, entry_points: str, call: str) -> None:
    """The script imports the module, calls the attribute and exits with the value that the call returns."""
    wheel = make_wheel(WHEELS, "foo", entry_points=entry_points)
    script = sandbox / "foo-script"
    script.write_bytes(Layer(write(wheel)).contents[f"{VENV}/bin/foo"])
    package = sandbox / "foo"
    package.mkdir()
    (package / "cli.py").write_text(
        "class app:\n    run = staticmethod(lambda: 'called app.run')\n"
        "def main():\n    return 'called main'\n"
    )
    ran = subprocess.run(
        [sys.executable, "-B", script],
        env={"PYTHONPATH": str(sandbox)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (1, f"called {call}\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("#!python\nprint()\n", "#!/opt/venv/bin/python\nprint()\n"),
        ("#!python -u\n#!python\n", "#!/opt/venv/bin/python -u\n#!python\n"),
        ("#!/bin/sh\n#!python\n", "#!/bin/sh\n#!python\n"),
        ("\x7fELF", "\x7fELF"),
    ],
)
def test_shebang_of_another_script_names_the_environment_s_python(
    sandbox: Path, before: str, after: str
) -> None:
    """A script that is no entry point keeps its text, except that `#!python` at its start becomes a real path."""
    wheel = make_wheel(WHEELS, "foo", files={"foo-1.0.data/scripts/foo": before})
    assert Layer(write(wheel)).contents[f"{VENV}/bin/foo"].decode() == after


SCRIPTS = "[console_scripts]\nray = ray:main\nserve = ray:serve\ntune = ray:tune\n"


@pytest.mark.parametrize(
    ("commands", "linked"),
    [
        pytest.param([], ["ray", "serve"], id="base has neither"),
        pytest.param(["python", "serve"], ["ray"], id="base has one"),
        pytest.param(["ray", "serve"], [], id="base has both"),
    ],
)
def test_ray_and_serve_are_linked_where_a_login_shell_finds_them(
    sandbox: Path, commands: list[str], linked: list[str]
) -> None:
    """`ray` and `serve` are linked in /usr/local/bin, unless the base has a file there; other scripts are not."""
    wheel = make_wheel(WHEELS, "ray", entry_points=SCRIPTS)
    layer = Layer(write(wheel, commands=commands))
    links = {n: m.linkname for n, m in layer.members.items() if n.startswith("usr/local/bin/")}
    assert links == {f"usr/local/bin/{name}": f"/opt/venv/bin/{name}" for name in linked}


# --- RECORD


def test_record_lists_what_is_really_there(sandbox: Path) -> None:
    """RECORD lists each installed file with the hash and size of its bytes in the image, and itself without both."""
    wheel = make_wheel(
        WHEELS,
        "foo",
        files={
            "foo/__init__.py": "x = 1",
            "foo/a, b.txt": "comma",
            "foo-1.0.data/scripts/foo.sh": "#!python\n",
            "foo-1.0.data/data/share/foo.txt": "data",
        },
        entry_points="[console_scripts]\nfoo = foo:main\n",
    )
    layer = Layer(write(wheel, bytecode=True))
    installed = {
        os.path.relpath(name, SITE_PACKAGES): content
        for name, content in layer.contents.items()
        if not name.endswith((".pyc", "RECORD"))
    }
    lines = [
        record_line(f'"{name}"' if "," in name else name, content)
        for name, content in installed.items()
    ]
    record = layer.contents[f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD"].decode()
    assert sorted(record.splitlines(keepends=True)) == sorted(
        [*lines, "foo-1.0.dist-info/RECORD,,\n"]
    )
    assert {"../../../bin/foo", "../../../bin/foo.sh", "../../../share/foo.txt"} <= set(installed)


def test_record_keeps_the_hashes_of_what_is_untouched(sandbox: Path) -> None:
    """Only stripped files and scripts have another hash in the image's RECORD than in the wheel's."""
    script = "foo-1.0.data/scripts/run"
    files: dict[str, Content] = {
        "foo/a.py": "x = 1",
        "foo/lib.so": make_elf(),
        script: "#!python\n",
    }
    wheel = make_wheel(WHEELS, "foo", files=files, entry_points="[gui_scripts]\nfoo = foo:main\n")
    with zipfile.ZipFile(wheel) as archive:
        before = recorded(archive.read("foo-1.0.dist-info/RECORD"))
    layer = Layer(write(wheel, prune=["debug-symbols"]))
    after = recorded(layer.contents[f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD"])
    changed = {path for path, hash_ in after.items() if before.get(path) != hash_}
    assert changed == {"foo/lib.so", "../../../bin/run", "../../../bin/foo"}
    assert set(before) - set(after) == {script}
    for path in changed:
        name = os.path.normpath(f"{SITE_PACKAGES}/{path}")
        assert after[path] == hash_of(layer.contents[name])
    assert after["../../../bin/run"] == hash_of(b"#!/opt/venv/bin/python\n")


def recorded(record: bytes) -> dict[str, str]:
    """Return path -> hash, from RECORD."""
    return {path: hash_ for path, hash_, _ in csv.reader(io.StringIO(record.decode()))}


def test_file_that_is_not_what_record_says_is_an_error(sandbox: Path) -> None:
    """A wheel with a file that does not match RECORD is refused; the error names the wheel and the file."""
    wheel = make_wheel(
        WHEELS, "foo", files={"foo/a.py": "x = 1"}, recorded={"foo/a.py": hash_of(b"x = 2")}
    )
    assert error_text(lambda: write(wheel)) == (
        f"The wheel {FOO} cannot be installed: it does not follow the wheel format.\n"
        "\n"
        f"  * /{SITE_PACKAGES}/foo/a.py does not match its hash in RECORD\n"
        "\n"
        "To fix, require another version of it, and tell its maintainers."
    )
    assert not Path(BLOB).exists()


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_hash_of_record_may_be_of_another_kind(sandbox: Path, algorithm: str) -> None:
    """A file is compared with the hash in the wheel's RECORD; the image's RECORD has its SHA-256."""
    hash_ = hash_of(b"x = 1", algorithm)
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": "x = 1"}, recorded={"foo.py": hash_})
    record = Layer(write(wheel)).contents[f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD"]
    assert recorded(record)["foo.py"] == hash_of(b"x = 1")
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": "x = 2"}, recorded={"foo.py": hash_})
    assert "foo.py does not match its hash in RECORD" in error_text(lambda: write(wheel))


@pytest.mark.parametrize("hash_", [None, ""], ids=["no line", "no hash"])
def test_file_that_record_does_not_know_is_taken(sandbox: Path, hash_: str) -> None:
    """The wheel's RECORD may omit a file, such as one added by hand; the image's RECORD lists the file."""
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": "x = 1"}, recorded={"foo.py": hash_})
    layer = Layer(write(wheel))
    assert layer.contents[f"{SITE_PACKAGES}/foo.py"] == b"x = 1"
    record = layer.contents[f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD"]
    assert recorded(record)["foo.py"] == hash_of(b"x = 1")


def test_wheel_that_is_not_the_fetched_one_is_an_error(sandbox: Path) -> None:
    """A wheel whose bytes changed since the fetch is refused by name, before any of its files is read."""
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": ""})
    request = request_of(wheel)
    with wheel.open("ab") as file:
        file.write(b"x")
    text = error_text(lambda: write_distribution_layer.main(request))
    assert text.startswith(f"The wheel {FOO} has changed since it was fetched, ")
    now, before = piece_of(wheel).sha256, request.pieces[0].sha256
    assert f"  * its SHA-256 is {now}, not {before}\n" in text


# --- Bytecode


def test_every_module_has_its_bytecode(sandbox: Path) -> None:
    """With bytecode, each source that compiles has a pyc, in every distribution of the layer."""
    wheels = [
        make_wheel(
            WHEELS, "bar", files={"bar/a.py": "", "bar/b.c.py": "", "bar/template.py": "{{ x }} ="}
        ),
        make_wheel(WHEELS, "foo", files={"foo.py": "", "foo.pyi": "", "foo.txt": ""}),
    ]
    layer = Layer(write(*wheels, bytecode=True))
    assert [name for name in layer.names if name.endswith(".pyc")] == [
        f"{SITE_PACKAGES}/bar/__pycache__/a.{TAG}.pyc",
        f"{SITE_PACKAGES}/bar/__pycache__/b.c.{TAG}.pyc",
        f"{SITE_PACKAGES}/__pycache__/foo.{TAG}.pyc",
    ]


# --- Several distributions


def test_identical_file_of_two_distributions_is_written_once(sandbox: Path) -> None:
    """Distributions may share an identical file, such as the __init__.py of a common package."""
    wheels = [
        make_wheel(WHEELS, name, files={"google/__init__.py": "# ns", f"google/{name}.py": ""})
        for name in ("bar", "foo")
    ]
    layer = Layer(write(*wheels, bytecode=True))
    assert layer.names.count(f"{SITE_PACKAGES}/google/__init__.py") == 1
    assert layer.names.count(f"{SITE_PACKAGES}/google/__pycache__/__init__.{TAG}.pyc") == 1
    assert {f"{SITE_PACKAGES}/google/{name}.py" for name in ("bar", "foo")} <= set(layer.names)


def test_different_files_of_one_path_are_an_error(sandbox: Path) -> None:
    """Distributions that disagree on a file are refused; the error names every such file and its distributions."""
    shared = {"tests/__init__.py": "", "tests/same.py": ""}
    wheels = [
        make_wheel(WHEELS, "foo", files={**shared, "tests/a.py": "foo", "tests/b.py": "foo"}),
        make_wheel(WHEELS, "bar", files={**shared, "tests/a.py": "bar", "tests/b.py": "bar"}),
        make_wheel(WHEELS, "baz", files={"tests/b.py": "foo"}),
    ]
    assert error_text(lambda: write(*wheels)) == (
        "2 files would be written twice with different content.\n"
        "\n"
        f"  * /{SITE_PACKAGES}/tests/a.py: from bar-1.0-py3-none-any.whl, foo-1.0-py3-none-any.whl\n"
        f"  * /{SITE_PACKAGES}/tests/b.py: from bar-1.0-py3-none-any.whl, baz-1.0-py3-none-any.whl\n"
        "\n"
        "To fix, remove the service's imports of one of these distributions."
    )


def noisy_wheels() -> dict[Path, int]:
    """Return wheels with their approximate sizes in bytes."""
    noise = random.Random(0)
    sizes = {"bar": 100_000, "baz": 1_000, "foo": 10_000}
    return {
        make_wheel(WHEELS, name, files={f"{name}.bin": bytes(noise.choices(range(256), k=n))}): n
        for name, n in sizes.items()
    }


def test_compressed_bytes_are_those_of_each_distribution(sandbox: Path) -> None:
    """Each distribution has its share of the blob in bytes, and the shares add up to the blob without its ends."""
    wheels = noisy_wheels()
    shares = write_facts(*wheels).compressed_bytes_of
    for wheel, size in wheels.items():
        assert size < shares[wheel.name] < size + 2_000
    blob_bytes = Path(BLOB).stat().st_size
    assert blob_bytes - 2_000 < sum(shares.values()) < blob_bytes


# --- Slices of a layer


def test_layer_of_slices_holds_what_is_in_each(sandbox: Path) -> None:
    """A layer of slices has the environment and the files and links of each slice, once each."""
    bar = make_wheel(WHEELS, "bar", files={"ns/bar.py": "bar"})
    foo = make_wheel(WHEELS, "foo", files={"ns/foo.py": "foo"})
    ray = make_wheel(WHEELS, "ray", entry_points=SCRIPTS)
    layer = Layer(write_shared([bar], [foo, ray], bytecode=True))
    assert len(layer.names) == len(set(layer.names))
    alone = [Layer(write(*wheels, bytecode=True)) for wheels in ([bar], [foo, ray])]
    for one in alone:
        assert {name: layer.contents[name] for name in one.contents} == one.contents
        assert set(one.names) <= set(layer.names)
    others = set(layer.names).difference(*(one.names for one in alone))
    assert others == {
        "usr/local/lib",
        "usr/local/lib/python3.10",
        "usr/local/lib/python3.10/site-packages",
        "usr/local/lib/python3.10/site-packages/slim_ray_image.pth",
        f"{VENV}/bin/python",
        f"{VENV}/bin/python3",
        f"{VENV}/bin/python3.10",
        f"{VENV}/pyvenv.cfg",
    }
    assert layer.members["usr/local/bin/ray"].linkname == "/opt/venv/bin/ray"


def test_layer_of_slices_is_one_stream(sandbox: Path) -> None:
    """A reader that streams the blob and stops after one gzip member reads the whole layer."""
    blob = write_shared(*([wheel] for wheel in noisy_wheels()))
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r|gz") as layer:
        streamed = [entry.name for entry in layer]
    assert streamed == Layer(blob).names
    assert f"{SITE_PACKAGES}/foo.bin" in streamed
    unpacked = subprocess.run(["gzip", "-dc"], input=blob, capture_output=True, check=True).stdout
    assert len(unpacked) % 10_240 == 0 and unpacked.endswith(bytes(1024))
    magic = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    assert blob.startswith(magic) and blob.count(magic) == 1


def test_layer_of_slices_is_what_is_told_of_it(sandbox: Path) -> None:
    """Digest, size, diff_id, bytes and files match the blob; each slice reports the shares of its distributions."""
    wheels = noisy_wheels()
    request, facts = write_slices(*([wheel] for wheel in wheels))
    join_slices.main(request)
    blob = Path(BLOB).read_bytes()
    layer, told = Layer(blob), from_json(JoinResult, Path(RESULT).read_bytes()).blob
    unpacked = subprocess.run(["gzip", "-dc"], input=blob, capture_output=True, check=True).stdout
    assert (told.digest, told.size, told.diff_id) == (
        digest_of(blob),
        len(blob),
        digest_of(unpacked),
    )
    assert told.unpacked_bytes == sum(map(len, layer.contents.values()))
    assert told.file_count == len(layer.contents)
    for (wheel, size), one in zip(wheels.items(), facts):
        assert list(one.compressed_bytes_of) == [wheel.name]
        assert size < one.compressed_bytes_of[wheel.name] < size + 2_000


def test_layer_of_no_slices_is_the_environment(sandbox: Path) -> None:
    """If every distribution has a layer of its own, or there is none, the environment still has a layer."""
    assert f"{VENV}/pyvenv.cfg" in Layer(write_shared()).contents


def test_slice_is_the_same_whatever_is_beside_it(sandbox: Path) -> None:
    """A slice depends on its own wheels alone, so it stays the same when another slice changes."""
    source = "shared_name = 1"
    foo = make_wheel(WHEELS, "foo", files={f"foo/{name}.py": source for name in "zyx"})
    write_slices([foo], bytecode=True)
    alone = Path("slices/0").read_bytes()
    write_slices([make_wheel(WHEELS, "bar", files={"bar.py": source})], [foo], bytecode=True)
    assert Path("slices/1").read_bytes() == alone


# --- The virtual environment


def test_virtual_environment_is_on_the_base_s_interpreter(sandbox: Path) -> None:
    """pyvenv.cfg (PEP 405) and links lead to the base's interpreter, which finds the environment by a .pth file."""
    layer = Layer(write_shared())
    links = {name: m.linkname for name, m in layer.members.items() if m.issym()}
    assert links == {
        f"{VENV}/bin/python": "/usr/local/bin/python3.10",
        f"{VENV}/bin/python3": "python",
        f"{VENV}/bin/python3.10": "python",
    }
    assert layer.contents == {
        f"{VENV}/pyvenv.cfg": (
            b"home = /usr/local/bin\ninclude-system-site-packages = false\nversion = 3.10.13\n"
        ),
        "usr/local/lib/python3.10/site-packages/slim_ray_image.pth": (
            b"/opt/venv/lib/python3.10/site-packages\n"
        ),
    }


def test_virtual_environment_is_in_one_layer_alone(sandbox: Path) -> None:
    """The layer of a distribution has no file of the environment itself, and no directory above it."""
    wheel = make_wheel(WHEELS, "foo", files={"foo.py": ""})
    layer = Layer(write(wheel))
    assert not [name for name in layer.names if name.endswith(("pyvenv.cfg", "python", ".pth"))]
    assert not [name for name in layer.names if name.startswith("usr")]


# --- Directories


def parents_of(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def test_parents_are_explicit_and_come_first(sandbox: Path) -> None:
    """Every directory that the base lacks has one entry, before the entries of its content."""
    wheel = make_wheel(WHEELS, "ray", files={"ray/a/b.py": ""}, entry_points=SCRIPTS)
    layer = Layer(write_shared([wheel], bytecode=True, directories=["/"]))
    for number, name in enumerate(layer.names):
        for parent in parents_of(name):
            assert layer.names.index(parent) < number, f"{parent} comes after {name}"
            assert layer.members[parent].isdir()
    assert "usr/local/bin/ray" in layer.names


def test_directories_of_the_base_have_no_entry(sandbox: Path) -> None:
    """A directory of the base, or a symlink to one, gets no entry."""
    wheel = make_wheel(WHEELS, "ray", files={"ray/a.py": ""}, entry_points=SCRIPTS)
    directories = [*BASE_DIRECTORIES, "/opt/venv", "/opt/venv/bin", "/usr/local/lib"]
    layer = Layer(write_shared([wheel], directories=directories))
    ours = [f"/{name}" for name, member in layer.members.items() if member.isdir()]
    assert not set(ours) & set(directories)
    assert ours == [
        "/opt/venv/lib",
        "/opt/venv/lib/python3.10",
        "/opt/venv/lib/python3.10/site-packages",
        "/opt/venv/lib/python3.10/site-packages/ray",
        "/opt/venv/lib/python3.10/site-packages/ray-1.0.dist-info",
        "/usr/local/lib/python3.10",
        "/usr/local/lib/python3.10/site-packages",
    ]


def test_no_path_is_there_twice(sandbox: Path) -> None:
    """No path has two entries, since layers must not have duplicates."""
    wheels = [
        make_wheel(
            WHEELS,
            name,
            files={
                "ns/__init__.py": "",
                f"ns/{name}.py": "",
                f"{name}-1.0.data/scripts/{name}": "",
            },
        )
        for name in ("bar", "foo", "ray")
    ]
    for blob in (write(*wheels, bytecode=True), write_shared(wheels, bytecode=True)):
        names = Layer(blob).names
        assert sorted(names) == sorted(set(names))


# --- Determinism


def many() -> list[Path]:
    return [
        make_wheel(
            WHEELS,
            name,
            # A name that modules share has other bytes in the pyc of the first module that is compiled.
            files={f"{name}/{module}.py": "shared_name = 1" for module in "zyx"},
        )
        for name in ("bar", "baz", "foo")
    ]


def test_same_distributions_twice_are_the_same_blob(sandbox: Path) -> None:
    """Equal wheels make equal bytes."""
    wheels = many()
    assert len({write(*wheels, bytecode=True) for _ in range(2)}) == 1
    assert len({write_shared(wheels, bytecode=True) for _ in range(2)}) == 1


def test_order_of_the_distributions_does_not_matter(sandbox: Path) -> None:
    """The same wheels in every order make the same layer."""
    wheels = many()
    blobs = {write(*order, bytecode=True) for order in itertools.permutations(wheels)}
    assert len(blobs) == 1


def test_order_and_times_in_the_wheels_do_not_matter(sandbox: Path) -> None:
    """A layer depends only on the names, contents and executable bits of a wheel's members."""
    wheels = many()
    before = write(*wheels, bytecode=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("foo/", b"")
            for info, content in reversed(members):
                info.date_time = (2026, 1, 2, 3, 4, 6)
                archive.writestr(info, content)
    assert write(*wheels, bytecode=True) == before


@pytest.mark.parametrize("timestamp", [0, 1704067200])
def test_every_entry_has_the_time_that_is_asked_for(sandbox: Path, timestamp: int) -> None:
    """Every entry has the requested time, not the time of the wheel's member."""
    wheels = many()
    for blob in (write(*wheels, timestamp=timestamp), write_shared(wheels, timestamp=timestamp)):
        assert {member.mtime for member in Layer(blob).members.values()} == {timestamp}


def test_layer_of_one_distribution_does_not_depend_on_the_others(sandbox: Path) -> None:
    """Other wheels in the same folder do not change a layer."""
    foo = make_wheel(WHEELS, "foo", files={"foo.py": ""})
    alone = write(foo, bytecode=True)
    make_wheel(WHEELS, "bar", files={"bar.py": ""})
    assert write(foo, bytecode=True) == alone


def test_bytecode_of_a_distribution_does_not_depend_on_its_neighbours(sandbox: Path) -> None:
    """A distribution has the same bytecode in a layer of its own and beside any others."""
    source = "shared_name = 1\ndef f(x, y=('a shared text', 300)):\n    return shared_name in y\n"
    foo = make_wheel(WHEELS, "foo", files={f"foo/{module}.py": source for module in "zyx"})
    alone = pycs_of(write(foo, bytecode=True))
    assert len(alone) == 3
    others = [make_wheel(WHEELS, name, files={f"{name}.py": source}) for name in ("bar", "qux")]
    for neighbours in ([others[0]], [others[1]], others):
        together = pycs_of(write(foo, *neighbours, bytecode=True))
        assert len(together) == 3 + len(neighbours)
        assert {path: together[path] for path in alone} == alone


def pycs_of(blob: bytes) -> dict[str, bytes]:
    contents = Layer(blob).contents
    return {name: content for name, content in contents.items() if name.endswith(".pyc")}
