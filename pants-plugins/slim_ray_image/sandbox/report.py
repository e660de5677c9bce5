"""The entry point of programs in a Pants sandbox, and how they report a user's mistake to the calling Pants rule."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import Any, BinaryIO, Callable, Iterator, Mapping, Sequence, Type, TypeVar

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wire import from_json, to_json

T = TypeVar("T")
# EX_DATAERR of sysexits.h: the input was wrong, not the program.
USER_ERROR = 65
# errno -> the C library's message, which every tool prints, for a full disk and for a user's exhausted quota.
_DISK_FULL = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)}


def raise_if_disk_is_full(output: str) -> None:
    """Raise an error if the output of a failed tool reports a full disk.

    Raises:
        OSError: If `output` contains the C library's message for a full disk.
    """
    for number, words in _DISK_FULL.items():
        if words in output:
            raise OSError(number, words)


def run_tool(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a command. If the command fails, raise an error and, unless the disk is full, print the output on stderr.

    Raises:
        OSError: If the disk is full.
        subprocess.CalledProcessError: If the command fails for another reason.
    """
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode != 0:
        raise_if_disk_is_full(result.stderr)
        sys.stderr.write(result.stdout + result.stderr)
        result.check_returncode()


def _disk_full_error(error: OSError) -> SlimRayImageError:
    free = shutil.disk_usage(".").free // 1_000_000
    return SlimRayImageError(
        f"The disk is full: {error.strerror}.",
        evidence=[
            f"{os.getcwd()}, where Pants runs this process, is on a disk with {free} MB free"
        ],
        fixes=[
            "free space on this disk",
            "name folders on another disk: `[GLOBAL].local_execution_root_dir` for the files that processes write, "
            "`[GLOBAL].named_caches_dir` for the caches of wheels and of uv",
        ],
    )


def run_program(main: Callable[[T], None], request_kind: Type[T]) -> None:
    """Call a program's `main` with the request in the JSON file that the command line names; report a user's mistake.

    Args:
        request_kind: Dataclass of the request. A key that is unknown or missing ends the program with a traceback:
            rule and program disagree.
    """
    with open(sys.argv[1], encoding="utf-8") as file:
        request = from_json(request_kind, file.read())
    try:
        try:
            main(request)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            raise _disk_full_error(error) from error
    except SlimRayImageError as error:
        sys.stderr.write(str(error))
        sys.exit(USER_ERROR)


def write_result(path: str, value: Any) -> None:
    """Write a dataclass to a file as JSON, in the form that the Pants rule that started this program parses."""
    write_whole(path, to_json(value))


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """Yield a file to write, which appears at `path` only when its content is complete."""
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        yield file
    os.replace(partial, path)


def write_whole(path: str, text: str) -> None:
    """Write text to a file that appears at `path` only when its content is complete."""
    with whole_file(path) as file:
        file.write(text.encode())
