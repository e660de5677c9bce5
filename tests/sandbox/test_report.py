"""Tests of sandbox.report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from conftest import Golden
from needs import needs

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.layers.files_layer import FilesLayerRequest
from slim_ray_image.core.layers.layer_blob import LayerBase
from slim_ray_image.core.wire import to_json
from slim_ray_image.sandbox.layers.write_files_layer import main as write_layer
from slim_ray_image.sandbox.report import run_program, run_tool, write_whole


@dataclass(frozen=True)
class Request:
    """A request of the programs of these tests."""

    text: str


def test_program_gets_its_request(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one argument names a JSON file, whose content is the request."""
    (sandbox / "request.json").write_text('{"text": "é"}', encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])
    requests: list[Request] = []
    run_program(requests.append, Request)
    assert requests == [Request("é")]


@pytest.mark.parametrize("text", ["{}", '{"text": "", "more": 1}', '{"text": 1}'])
def test_request_of_another_form_is_refused(
    sandbox: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A key that is missing or unknown, or a value of another type, is the plugin's own fault."""
    (sandbox / "request.json").write_text(text)
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])
    with pytest.raises(ValueError, match=r"^Request"):
        run_program(lambda _: None, Request)


def test_mistake_is_told_on_stderr_with_an_exit_code_of_its_own(
    sandbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's mistake ends the program with 65 and its whole text, without a traceback."""
    (sandbox / "request.json").write_text('{"text": ""}')
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])

    def fail(request: Request) -> None:
        raise SlimRayImageError("It broke.", fixes=["mend it"])

    with pytest.raises(SystemExit) as ended:
        run_program(fail, Request)
    assert ended.value.code == 65
    assert capsys.readouterr() == ("", "It broke.\n\nTo fix, mend it.")


def test_fault_is_not_taken_for_a_mistake(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other exception is the program's own fault, and keeps its traceback."""
    (sandbox / "request.json").write_text('{"text": ""}')
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])

    def fail(request: Request) -> None:
        raise KeyError("base")

    with pytest.raises(KeyError):
        run_program(fail, Request)


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
    request_kind: type,
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
    golden.check("errors/tools/disk-full.txt", told_by(write_layer, capsys, FilesLayerRequest))
    assert not (small_disk / "layer.tar.gz").exists()


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
def test_full_disk_of_a_tool_is_told(
    sandbox: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
) -> None:
    """When uv, Pex or the compiler says that the disk is full, that is what the user is told."""
    (sandbox / "request.json").write_text('{"text": ""}')
    monkeypatch.setattr(sys, "argv", ["program", "request.json"])
    command = ["sh", "-c", f"echo 'error: copying: {words} (os error 28)' >&2; exit 2"]
    text = told_by(lambda _: run_tool(command, {"PATH": "/usr/bin:/bin"}), capsys, Request)
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
