"""Tests of sandbox.write_layer as the program that Pants runs: equal bytes, whatever the machine."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Mapping

import pytest
from conftest import PYTHONPATH, Layer, digest_of, layer_item, make_deps_zip

from slim_ray_image.sandbox.report import USER_ERROR

# Modules whose bytecode would show the hash seed, were it not fixed.
SOURCE = "def f(x):\n    return x in {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}\n"


def distributions_request(folder: Path) -> dict[str, Any]:
    """A request for a layer of two distributions and the environment, and its inputs."""
    files = [
        make_deps_zip(folder / "deps", name, files={f"{name}/a.py": SOURCE, f"{name}/é.txt": "é"})
        for name in ("bar", "foo")
    ]
    return {
        "kind": "distributions",
        "distributions": [layer_item(file) for file in files],
        "prune": [],
        "exclude_files": [],
        "virtual_environment": True,
        "bytecode": True,
        "base": {
            "python": "/usr/local/bin/python3.10",
            "python_version": "3.10.13",
            "directories": ["/"],
            "commands": [],
        },
    }


def sources_request(folder: Path) -> dict[str, Any]:
    """A request for a layer of first-party files, and its inputs."""
    for name in ("app/app.py", "lib/words.txt"):
        path = folder / "files" / name
        path.parent.mkdir(parents=True)
        path.write_text(SOURCE)
        path.chmod(0o644)
    return {
        "kind": "sources",
        "files": ["lib/words.txt", "app/app.py"],
        "workdir": "/app",
        "bytecode": True,
        "checks": [],
        "owner": [1000, 100],
        "account": {"uid": 1000, "gid": 100, "home": "/home/ray", "passwd": "ray:x", "group": ""},
        "base": {"directories": ["/"], "passwd": "", "group": ""},
    }


def files_request(folder: Path) -> dict[str, Any]:
    """A request for a layer of large files, and its inputs."""
    path = folder / "files" / "model" / "weights.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"w" * 3_000_000)
    path.chmod(0o644)
    return {
        "kind": "files",
        "files": ["model/weights.bin"],
        "workdir": "/app",
        "base": {"directories": ["/"]},
    }


Request = Callable[[Path], dict[str, Any]]
KINDS = pytest.mark.parametrize(
    "make_request", [distributions_request, files_request, sources_request]
)


def run(
    folder: Path,
    make_request: Request,
    *,
    environment: Mapping[str, str] = {},
    umask: int = 0o022,
    **changes: Any,
) -> tuple[bytes, dict[str, Any]]:
    """Run the program in `folder`, which is made, and return the blob and layer.json."""
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps({**make_request(folder), **changes}))
    subprocess.run(
        [sys.executable, "-B", "-m", "slim_ray_image.sandbox.write_layer", "request.json"],
        cwd=folder,
        env={
            "PYTHONPATH": PYTHONPATH,
            "SLIM_RAY_IMAGE_BASE_ROOT": str(folder),
            **environment,
        },
        umask=umask,
        check=True,
    )
    facts = json.loads((folder / "layer.json").read_text())
    return (folder / "layer.tar.gz").read_bytes(), facts


@KINDS
def test_layer_json_describes_the_blob(tmp_path: Path, make_request: Request) -> None:
    """Descriptor, diff_id and sizes in layer.json are those of the blob that was written."""
    blob, facts = run(tmp_path / "a", make_request)
    layer = Layer(blob)
    compressed_bytes_of = facts.pop("compressed_bytes_of", {})
    unpacked_bytes_of = facts.pop("unpacked_bytes_of", {})
    told = ("dynamic_imports", "import_statements", "matched", "parts", "pruned", "uses")
    for fact in told:
        facts.pop(fact, None)
    assert facts == {
        "descriptor": {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest_of(blob),
            "size": len(blob),
        },
        "diff_id": digest_of(gzip.decompress(blob)),
        "unpacked_bytes": sum(len(content) for content in layer.contents.values()),
        "file_count": len(layer.contents),
    }
    items = make_request(tmp_path / "b").get("distributions", [])
    assert list(compressed_bytes_of) == [item["key"] for item in items]
    assert list(unpacked_bytes_of) == list(compressed_bytes_of)


@KINDS
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
    tmp_path: Path, make_request: Request, difference: dict[str, Any]
) -> None:
    """Another umask, time zone, hash seed, locale, user or folder makes the same blob."""
    here = run(tmp_path / "here", make_request, environment={"PYTHONHASHSEED": "0", "TZ": "UTC"})
    there = run(tmp_path / "some" / "where else", make_request, **difference)
    assert there == here


@KINDS
def test_name_of_a_layer_is_not_part_of_its_bytes(tmp_path: Path, make_request: Request) -> None:
    """What people call a layer changes nothing in it."""
    blobs = {run(tmp_path / name, make_request, name=name)[0] for name in ("ray", "other")}
    assert len(blobs) == 1


@pytest.mark.parametrize("make_request", [distributions_request, sources_request])
def test_content_of_a_layer_is_part_of_its_bytes(tmp_path: Path, make_request: Request) -> None:
    """A layer with bytecode and one without are different, so that the tests above could fail."""
    facts = [
        run(tmp_path / str(bytecode), make_request, bytecode=bytecode)[1]
        for bytecode in (True, False)
    ]
    assert facts[0]["diff_id"] != facts[1]["diff_id"]


def test_layer_of_large_files_needs_little_memory(tmp_path: Path) -> None:
    """A file is read and written in pieces: the program has room for far less than the file."""
    request = files_request(tmp_path)
    with (tmp_path / "files/model/weights.bin").open("wb") as file:
        file.truncate(300_000_000)
    (tmp_path / "request.json").write_text(json.dumps(request))
    subprocess.run(
        [sys.executable, "-B", "-m", "slim_ray_image.sandbox.write_layer", "request.json"],
        cwd=tmp_path,
        env={"PYTHONPATH": PYTHONPATH},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (200_000_000, 200_000_000)),
        check=True,
    )
    facts = json.loads((tmp_path / "layer.json").read_text())
    assert (facts["unpacked_bytes"], facts["file_count"]) == (300_000_000, 1)


def test_mistake_of_the_user_ends_the_program_with_the_message(tmp_path: Path) -> None:
    """A mistake is told on stderr, alone and whole, with the exit code that the rules know."""
    request = sources_request(tmp_path)
    check = {
        "file": "app/app.py",
        "path": "src/app/app.py",
        "module": "app.app",
        "attribute": "app",
        "named_by": "`serve_app` of src/app:image",
    }
    request["checks"] = [check]
    (tmp_path / "request.json").write_text(json.dumps(request))
    ran = subprocess.run(
        [sys.executable, "-B", "-m", "slim_ray_image.sandbox.write_layer", "request.json"],
        cwd=tmp_path,
        env={"PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (USER_ERROR, "")
    assert ran.stderr == (
        "The module app.app does not define 'app', which `serve_app` of src/app:image names.\n"
        "\n"
        "  * src/app/app.py defines f\n"
        "\n"
        "To fix, name one of these in `serve_app` of src/app:image, or define 'app'."
    )
