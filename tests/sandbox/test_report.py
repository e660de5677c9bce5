"""Tests of sandbox.report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Optional

import pytest
from conftest import Golden
from needs import needs

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.layers.files_layer import FilesLayerRequest
from slim_ray_image.core.layers.layer_blob import LayerBase
from slim_ray_image.core.wire import to_json
from slim_ray_image.sandbox.layers.write_files_layer import main as write_layer
from slim_ray_image.sandbox.report import run_program, run_tool, write_json, write_whole


def test_program_gets_its_request(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only argument names a JSON file that contains the request."""
    (sandbox / "request.json").write_text('{"a": "é"}', encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])
    requests: list[Mapping[str, Any]] = []
    run_program(requests.append)
    assert requests == [{"a": "é"}]


def test_mistake_is_told_on_stderr_with_an_exit_code_of_its_own(
    sandbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's mistake ends the program with exit code 65 and the whole message, without a traceback."""
    (sandbox / "request.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])

    def fail(request: Mapping[str, Any]) -> None:
        raise SlimRayImageError("It broke.", fixes=["mend it"])

    with pytest.raises(SystemExit) as ended:
        run_program(fail)
    assert ended.value.code == 65
    assert capsys.readouterr() == ("", "It broke.\n\nTo fix, mend it.")


def test_fault_is_not_taken_for_a_mistake(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other exception is a fault of the program, and keeps its traceback."""
    (sandbox / "request.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])

    def fail(request: Mapping[str, Any]) -> None:
        raise KeyError("base")

    with pytest.raises(KeyError):
        run_program(fail)


def test_json_is_written_in_one_spelling(sandbox: Path) -> None:
    """Equal values give equal files, whatever the order of their keys."""
    write_json("a.json", {"b": 1, "a": [2]})
    write_json("b.json", {"a": [2], "b": 1})
    text = (sandbox / "a.json").read_text()
    assert text == (sandbox / "b.json").read_text()
    assert list(json.loads(text)) == ["a", "b"]


# --- A full disk


@pytest.fixture
def small_disk(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory on a disk of 1 MB."""
    folder = sandbox / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    subprocess.run(command, check=True)
    monkeypatch.chdir(folder)
    yield folder
    monkeypatch.chdir(sandbox)
    subprocess.run(["umount", str(folder)], check=True)


def told_by(
    main: Callable[[Any], None],
    capsys: pytest.CaptureFixture[str],
    request_kind: Optional[type] = None,
) -> str:
    """Return the message of a program that ends with a user's mistake, without the numbers that depend on the disk."""
    with pytest.raises(SystemExit) as ended:
        run_program(main, request_kind)
    assert ended.value.code == 65
    text = capsys.readouterr().err.replace(os.getcwd(), "/tmp/pants-sandbox-1")
    return re.sub(r"with \d+ MB free", "with 0 MB free", text)


def write_layer_request(folder: Path) -> None:
    """Write a request for a layer of 4 MB of incompressible data."""
    (folder / "files").symlink_to(folder.parent)
    (folder.parent / "noise.bin").write_bytes(os.urandom(4_000_000))
    request = FilesLayerRequest(("noise.bin",), "/app", LayerBase("", "", ("/",)))
    (folder / "request.json").write_text(to_json(request))


@needs("mount")
def test_full_disk_is_told_and_no_layer_is_left(
    small_disk: Path,
    golden: Golden,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If a layer does not fit on the disk, the user gets an error, and no partial layer has its name."""
    write_layer_request(small_disk)
    monkeypatch.setattr(sys, "argv", ["layers.write_files_layer", "request.json"])
    golden.check("errors/disk_full.txt", told_by(write_layer, capsys, FilesLayerRequest))
    assert not (small_disk / "layer.tar.gz").exists()


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
def test_full_disk_of_a_tool_is_told(
    sandbox: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
) -> None:
    """If uv, Pex or the compiler reports a full disk, the user gets the error about a full disk."""
    (sandbox / "request.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])
    command = ["sh", "-c", f"echo 'error: copying: {words} (os error 28)' >&2; exit 2"]
    text = told_by(lambda _: run_tool(command, {"PATH": "/usr/bin:/bin"}), capsys)
    assert text.startswith(f"The disk is full: {words}.\n")


def test_tool_that_fails_otherwise_is_a_fault(
    sandbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tool's output is printed if the tool fails, and only then."""
    run_tool(["sh", "-c", "echo fine; echo fine >&2"], {})
    assert capsys.readouterr() == ("", "")
    with pytest.raises(subprocess.CalledProcessError):
        run_tool(["sh", "-c", "echo out; echo err >&2; exit 3"], {})
    assert capsys.readouterr() == ("", "out\nerr\n")


@needs("mount")
def test_file_is_never_there_in_part(small_disk: Path) -> None:
    """A file that does not fit on the disk never appears under its name."""
    with pytest.raises(OSError):
        write_whole("whole.txt", "x" * 2_000_000)
    assert not Path("whole.txt").exists()
