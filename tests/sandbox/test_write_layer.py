"""Tests of the programs that write layers, run the way Pants does: equal bytes on any machine, in little memory."""

from __future__ import annotations

import gzip
import json
import resource
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import pytest
from conftest import PYTHONPATH, Layer, digest_of, make_wheel, piece_of
from elf import LOADED, make_elf

from slim_ray_image.core.accounts import Account
from slim_ray_image.core.layers.distributions_layer import SLICE, JoinRequest, PiecesRequest
from slim_ray_image.core.layers.files_layer import FilesLayerRequest
from slim_ray_image.core.layers.layer_blob import LayerBase
from slim_ray_image.core.layers.runtime_layer import RuntimeLayerRequest
from slim_ray_image.core.layers.sources_layer import AttributeCheck, SourcesLayerRequest
from slim_ray_image.core.wire import to_json
from slim_ray_image.sandbox.report import USER_ERROR

# A module whose bytecode would depend on the hash seed if the seed were not fixed.
SOURCE = "def f(x):\n    return x in {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}\n"
BASE = LayerBase("/usr/local/bin/python3.10", "3.10.13", ("/",))


@dataclass(frozen=True)
class Call:
    """A program of `sandbox/` and its request; its input files are in place."""

    program: str
    request: Any


def write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)


def distribution_call(folder: Path) -> Call:
    """Return the call for a layer of two distributions."""
    wheels = [
        make_wheel(folder / "wheels", name, files={f"{name}/a.py": SOURCE, f"{name}/é.txt": "é"})
        for name in ("bar", "foo")
    ]
    pieces = tuple(map(piece_of, wheels))
    return Call("layers.write_distribution_layer", PiecesRequest(pieces, (), (), True, (), BASE))


def slice_call(folder: Path) -> Call:
    return replace(distribution_call(folder), program="layers.write_slice")


def join_call(folder: Path) -> Call:
    """Return the call for a layer of the environment and of a slice."""
    _, told = run(folder / "slice", slice_call)
    request = JoinRequest(
        (f"slice/{SLICE}",),
        tuple(told["directories"]),
        told["unpacked_bytes"],
        told["file_count"],
        BASE,
    )
    return Call("layers.join_slices", request)


def files_call(folder: Path) -> Call:
    """Return the call for a layer of large files."""
    write_file(folder / "files/model/weights.bin", b"w" * 3_000_000)
    return Call("layers.write_files_layer", FilesLayerRequest(("model/weights.bin",), "/app", BASE))


def runtime_call(folder: Path) -> Call:
    """Return the call for the layer `runtime`."""
    write_file(folder / "wget.py", b"print()\n")
    for name in ("os.py", "json/__init__.py"):
        write_file(folder / "usr/local/lib/python3.10" / name, SOURCE.encode())
    return Call("layers.write_runtime_layer", RuntimeLayerRequest(True, True, (), BASE))


def sources_call(folder: Path) -> Call:
    """Return the call for a layer of first-party files."""
    for name in ("app/app.py", "lib/words.txt"):
        write_file(folder / "files" / name, SOURCE.encode())
    return Call(
        "layers.write_sources_layer",
        SourcesLayerRequest(
            files=("lib/words.txt", "app/app.py"),
            workdir="/app",
            bytecode=True,
            checks=(),
            owner=(1000, 100),
            account=Account(1000, 100, "/home/ray", "ray:x", ""),
            passwd="",
            group="",
            base=BASE,
        ),
    )


MakeCall = Callable[[Path], Call]
LAYERS = [distribution_call, join_call, files_call, runtime_call, sources_call]


def command(program: str) -> list[str]:
    return [sys.executable, "-B", "-m", f"slim_ray_image.sandbox.{program}", "request.json"]


def run(
    folder: Path,
    make_call: MakeCall,
    *,
    environment: Mapping[str, str] = {},
    umask: int = 0o022,
    **changes: Any,
) -> tuple[bytes, dict[str, Any]]:
    """Make `folder`, run the program in it, and return the blob and the content of the JSON file."""
    folder.mkdir(parents=True)
    call = make_call(folder)
    (folder / "request.json").write_text(to_json(replace(call.request, **changes)))
    subprocess.run(
        command(call.program),
        cwd=folder,
        env={
            "PYTHONPATH": PYTHONPATH,
            "SLIM_RAY_IMAGE_BASE_ROOT": str(folder),
            **environment,
        },
        umask=umask,
        check=True,
    )
    blob, told = ("layer.tar.gz", "layer.json")
    if call.program == "layers.write_slice":
        blob, told = (SLICE, "slice.json")
    return (folder / blob).read_bytes(), json.loads((folder / told).read_text())


@pytest.mark.parametrize("make_call", LAYERS)
def test_layer_json_describes_the_blob(tmp_path: Path, make_call: MakeCall) -> None:
    """Digest, diff_id and sizes in layer.json match the blob."""
    blob, told = run(tmp_path / "a", make_call)
    layer = Layer(blob)
    assert told["blob"] == {
        "digest": digest_of(blob),
        "size": len(blob),
        "diff_id": digest_of(gzip.decompress(blob)),
        "unpacked_bytes": sum(len(content) for content in layer.contents.values()),
        "file_count": len(layer.contents),
    }
    assert layer.contents


@pytest.mark.parametrize("make_call", [*LAYERS, slice_call])
@pytest.mark.parametrize(
    "difference",
    [
        pytest.param({"umask": 0o077}, id="umask"),
        pytest.param({"environment": {"TZ": "Pacific/Chatham"}}, id="TZ"),
        pytest.param({"environment": {"PYTHONHASHSEED": "4242"}}, id="PYTHONHASHSEED"),
        pytest.param({"environment": {"LC_ALL": "C", "PYTHONUTF8": "0"}}, id="locale"),
        pytest.param({"environment": {"SOURCE_DATE_EPOCH": "1700000000"}}, id="SOURCE_DATE_EPOCH"),
        pytest.param({"environment": {"HOME": "/elsewhere", "USER": "x"}}, id="user"),
        pytest.param({}, id="cwd"),
    ],
)
def test_layer_does_not_depend_on_the_machine(
    tmp_path: Path, make_call: MakeCall, difference: dict[str, Any]
) -> None:
    """Another umask, time zone, hash seed, locale, user or folder makes the same blob."""
    here = run(tmp_path / "here", make_call, environment={"PYTHONHASHSEED": "0", "TZ": "UTC"})
    there = run(tmp_path / "some" / "where else", make_call, **difference)
    assert there == here


@pytest.mark.parametrize("make_call", [distribution_call, slice_call, runtime_call, sources_call])
def test_content_of_a_layer_is_part_of_its_bytes(tmp_path: Path, make_call: MakeCall) -> None:
    """A layer with bytecode differs from one without, so the tests above can fail."""
    blobs = {
        run(tmp_path / str(bytecode), make_call, bytecode=bytecode)[0] for bytecode in (True, False)
    }
    assert len(blobs) == 2


# --- Memory

# Starts a program and prints the peak memory of the program and its children. It is a small process of its own, since
# the memory of the process that starts a program counts for the program, too.
MEASURED = """\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_bytes(folder: Path, call: Call) -> int:
    """Run a program in a folder, and return its peak memory in bytes."""
    (folder / "request.json").write_text(to_json(call.request))
    result = subprocess.run(
        [sys.executable, "-c", MEASURED, *command(call.program)],
        cwd=folder,
        env={"PYTHONPATH": PYTHONPATH, "SLIM_RAY_IMAGE_BASE_ROOT": str(folder)},
        stdout=subprocess.PIPE,
        check=True,
    )
    unit = 1 if sys.platform == "darwin" else 1024
    return int(result.stdout) * unit


def large_elf(hole: int) -> Iterator[bytes]:
    """Yield a shared object with symbols that loads `hole` more zeros than `make_elf()`, in pieces."""
    content = bytearray(make_elf())
    end = content.index(LOADED) + len(LOADED)

    def move(at: int) -> None:
        value = int.from_bytes(content[at : at + 8], "little") + hole
        content[at : at + 8] = value.to_bytes(8, "little")

    sections = int.from_bytes(content[40:48], "little")
    for number in range(int.from_bytes(content[60:62], "little")):
        offset = sections + number * 64 + 24
        if int.from_bytes(content[offset : offset + 8], "little") >= end:
            move(offset)
    for at in (40, 64 + 32, 64 + 40):  # offset of the sections, sizes of the loaded segment
        move(at)
    yield bytes(content[:end])
    for _ in range(hole // 1_000_000):
        yield bytes(1_000_000)
    yield bytes(content[end:])


LARGE = 400_000_000


@pytest.fixture(scope="module")
def deflated_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel with a shared object of 400 MB."""
    wheel = make_wheel(tmp_path_factory.mktemp("large"), "foo", files={"foo.py": ""})
    member = zipfile.ZipInfo("foo/lib.so")
    member.compress_type = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(wheel, "a") as archive,
        archive.open(member, "w", force_zip64=True) as file,
    ):
        for piece in large_elf(LARGE):
            file.write(piece)
    return wheel


@pytest.fixture
def large_wheel(tmp_path: Path, deflated_wheel: Path) -> Path:
    """A copy of `deflated_wheel` in the folder where programs look for wheels."""
    (tmp_path / "wheels").mkdir()
    return Path(shutil.copy(deflated_wheel, tmp_path / "wheels"))


@pytest.mark.parametrize("program", ["layers.write_distribution_layer", "layers.write_slice"])
def test_layer_of_a_large_wheel_needs_little_memory(
    tmp_path: Path, large_wheel: Path, program: str
) -> None:
    """A library is unpacked, stripped, hashed and written in pieces, whatever its size."""
    rules = ("debug-information", "debug-symbols")
    request = PiecesRequest((piece_of(large_wheel),), rules, (), True, (), BASE)
    assert peak_bytes(tmp_path, Call(program, request)) < 300_000_000
    told = json.loads(
        (tmp_path / ("slice.json" if program == "layers.write_slice" else "layer.json")).read_text()
    )
    facts = told["facts"]
    assert {row["name"] for row in facts["pruned"]} == set(rules)
    assert sum(facts["unpacked_bytes_of"].values()) > LARGE


def test_layer_of_a_large_slice_needs_little_memory(tmp_path: Path, large_wheel: Path) -> None:
    """The content of slices is unpacked in pieces to be hashed, however much a few bytes become."""
    pieces = PiecesRequest((piece_of(large_wheel),), (), (), False, (), BASE)
    peak_bytes(tmp_path, Call("layers.write_slice", pieces))
    request = JoinRequest((SLICE,), (), LARGE, 1, BASE)
    assert peak_bytes(tmp_path, Call("layers.join_slices", request)) < 150_000_000


def test_layer_of_large_files_needs_little_memory(tmp_path: Path) -> None:
    """A file is read and written in pieces: the program succeeds with less memory than the file needs."""
    call = files_call(tmp_path)
    with (tmp_path / "files/model/weights.bin").open("wb") as file:
        file.truncate(300_000_000)
    (tmp_path / "request.json").write_text(to_json(call.request))
    subprocess.run(
        command(call.program),
        cwd=tmp_path,
        env={"PYTHONPATH": PYTHONPATH},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (200_000_000, 200_000_000)),
        check=True,
    )
    blob = json.loads((tmp_path / "layer.json").read_text())["blob"]
    assert (blob["unpacked_bytes"], blob["file_count"]) == (300_000_000, 1)


# --- Mistakes


def failure(folder: Path, call: Call) -> str:
    """Return the message of a program that ends with a user's mistake and writes no layer."""
    (folder / "request.json").write_text(to_json(call.request))
    ran = subprocess.run(
        command(call.program),
        cwd=folder,
        env={"PYTHONPATH": PYTHONPATH, "SLIM_RAY_IMAGE_BASE_ROOT": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (USER_ERROR, "")
    assert not [*folder.glob("layer.*"), *folder.glob("slice.*")]
    return ran.stderr


def test_mistake_of_the_user_ends_the_program_with_the_message(tmp_path: Path) -> None:
    """A mistake is the whole text on stderr, with the exit code that the rules know."""
    call = sources_call(tmp_path)
    check = AttributeCheck(
        file="app/app.py",
        path="src/app/app.py",
        module="app.app",
        attribute="app",
        named_by="`serve_app` of src/app:image",
    )
    assert failure(tmp_path, Call(call.program, replace(call.request, checks=(check,)))) == (
        "The module app.app does not define 'app', which `serve_app` of src/app:image names.\n"
        "\n"
        "  * src/app/app.py defines f\n"
        "\n"
        "To fix, name one of these in `serve_app` of src/app:image, or define 'app'."
    )


@pytest.mark.parametrize("make_call", [distribution_call, slice_call])
def test_wheel_that_cannot_be_installed_ends_the_program_with_the_message(
    tmp_path: Path, make_call: MakeCall
) -> None:
    """An invalid wheel is reported like a mistake, because the user can choose another wheel."""
    call = make_call(tmp_path)
    wheel = make_wheel(tmp_path / "wheels", "foo", files={"../a.py": ""})
    request = replace(call.request, pieces=(piece_of(wheel),))
    assert failure(tmp_path, Call(call.program, request)) == (
        "The wheel foo-1.0-py3-none-any.whl cannot be installed: it does not follow the wheel format.\n"
        "\n"
        "  * '../a.py' is not a valid file name\n"
        "\n"
        "To fix, require another version of it, and tell its maintainers."
    )
