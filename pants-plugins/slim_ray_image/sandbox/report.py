"""How a program of the sandbox is called and how it reports a user's mistake to the rule that started it."""

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
# What the C library, and with it every tool, says when a disk or a user's share of it is full.
_DISK_FULL = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)}


def raise_if_disk_is_full(output: str) -> None:
    """Raise what a program that failed with this output would have raised.

    Raises:
        OSError: If it says that the disk is full.
    """
    for number, words in _DISK_FULL.items():
        if words in output:
            raise OSError(number, words)


def run_tool(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a program that must succeed. What it says is told when it fails.

    Raises:
        OSError: If the disk is full.
        subprocess.CalledProcessError: If it fails for another reason.
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
            "free some of it",
            "name folders on another disk: `[GLOBAL].local_execution_root_dir` for what processes write, "
            "`[GLOBAL].named_caches_dir` for the caches of wheels and of uv",
        ],
    )


def run_program(main: Callable[[T], None], request_kind: Type[T]) -> None:
    """Call `main` with the request in the JSON file that the one argument names.

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
    """Write a dataclass as the rule that started this program reads it."""
    write_whole(path, to_json(value))


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """Yield a file to write that is never there in part: it gets its name when all of it is written."""
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        yield file
    os.replace(partial, path)


def write_whole(path: str, text: str) -> None:
    """Write text as a file that is never there in part."""
    with whole_file(path) as file:
        file.write(text.encode())
