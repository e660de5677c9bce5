"""Imports an image's modules on this machine, in processes that see only the image's code, for `pants check`.

In: the unpacked layers of the distributions, each a folder with the layer's files of the virtual environment;
first-party files; the imports to do. Out: imports.json, with an outcome for each import, in order, and the shared
objects that were mapped from outside the image.

One child process does all imports, one after the other, so that it imports shared modules once. An import that fails is
tried again in a new process, so that no other import can be the cause. An import that ends the process is reported as
such. Imports reach no network and start no program: both belong to the place where an image runs, not to the
image.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import ctypes.util
import errno
import glob
import importlib
import os
import runpy
import select
import signal
import site
import sys
import sysconfig
import tempfile
import traceback
from dataclasses import dataclass
from types import CodeType
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from slim_ray_image.core.check.import_outcomes import (
    FIRST_PARTY,
    RESULT,
    Frame,
    ImportJob,
    ImportModulesRequest,
    ImportModulesResult,
    ImportOutcome,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wire import from_json, to_json
from slim_ray_image.sandbox.report import run_program, write_result

_VENV = "venv"
_SILENCE_SECONDS = 300
_MOST_FRAMES = 3
_MOST_OUTPUT = 1000
_LAST_LINE = b'{"outside"'
_KILLED = "the process was ended by SIGKILL"
_LIBRARY_FOLDERS = (
    *("usr/local/lib", "lib/*-linux-gnu", "usr/lib/*-linux-gnu"),
    *("lib64", "lib", "usr/lib64", "usr/lib"),
)
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NETWORK_EVENTS = frozenset(
    f"socket.{name}"
    for name in ("connect", "getaddrinfo", "gethostbyaddr", "gethostbyname", "sendmsg", "sendto")
)
_PROGRAM_EVENTS = frozenset(
    ["os.exec", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn", "subprocess.Popen"]
)


# --- One virtual environment from many layers


def merge_folders(folders: Sequence[str], target: str) -> None:
    """Make a folder that shows the content of several folders: its subfolders are real, its files are symlinks.

    No folder is a link: a shared object finds others by paths such as `$ORIGIN/../../other.libs`, and `..` behind a
    link leads to the parent of the link's target.

    Args:
        folders: Absolute paths. No two folders have the same file.
        target: Path of the folder to make.
    """
    os.mkdir(target)
    directories: dict[str, list[str]] = {}
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    directories.setdefault(entry.name, []).append(entry.path)
                else:
                    os.symlink(entry.path, os.path.join(target, entry.name))
    for name, paths in directories.items():
        merge_folders(paths, os.path.join(target, name))


# --- Limits of an import


class _NoNetworkError(OSError):
    """An import tried to use the network."""


class _NoProgramError(FileNotFoundError):
    """An import tried to start another program."""


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise an error, as a Python audit hook, if an import tries to use the network or to start a program."""
    if event in _NETWORK_EVENTS:
        raise _NoNetworkError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    if event in _PROGRAM_EVENTS:
        raise _NoProgramError(errno.ENOENT, os.strerror(errno.ENOENT), str(arguments[0]))


def library_finder(root: str) -> Callable[[str], Optional[str]]:
    """Return a function that finds libraries of the base image for `ctypes.util.find_library`, like `ldconfig -p`.

    Args:
        root: Folder of the base.

    Returns:
        A function that maps the name of a library to its file name in the base, or to None.
    """
    names = sorted(
        os.path.basename(path)
        for folder in _LIBRARY_FOLDERS
        for path in glob.glob(os.path.join(glob.escape(root), folder, "lib*.so*"))
    )

    def find(name: str) -> Optional[str]:
        return next((found for found in names if found.startswith(f"lib{name}.so.")), None)

    return find


def _leave_network() -> None:
    """Cut this process off from the network by a Linux namespace, if allowed, since no audit hook stops native code."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return
    for path, text in (
        ("/proc/self/setgroups", "deny"),
        ("/proc/self/uid_map", f"{uid} {uid} 1"),
        ("/proc/self/gid_map", f"{gid} {gid} 1"),
    ):
        with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
            file.write(text)


# --- Outcomes


def _chain(error: Optional[BaseException]) -> Iterator[BaseException]:
    """Yield an exception and the exceptions that caused it or that were being handled, outermost first.

    An OSError, for example for a missing library, is its own cause, whatever error was being handled.
    """
    while error is not None:
        yield error
        beside = None if isinstance(error, OSError) else error.__context__
        error = error.__cause__ or beside


def _is_of_content(error: BaseException) -> bool:
    """Return whether an import's error, by its type, is the fault of the image's content, wherever the image runs."""
    if isinstance(
        error, AttributeError
    ):  # such as `np.float_`, of another numpy than the code is written for
        return str(error).startswith(("module '", "partially initialized module '"))
    if isinstance(error, ValueError) and "binary incompatibility" in str(error):
        return True
    is_name = isinstance(error, NameError) and not isinstance(error, UnboundLocalError)
    return is_name or isinstance(error, (ImportError, SyntaxError, OSError))


class _Outcomes:
    """Describes the errors of imports, with paths in the image in place of paths in the sandbox."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places  # absolute path in the sandbox -> absolute path in the image

    def _image_path(self, path: str) -> Optional[str]:
        """Return the path in the image of a source file, from its sandbox path or its image path; None for other files.

        Bytecode names the path in the image already.
        """
        for here, there in self._places.items():
            for prefix in (here, there):
                if path.startswith(f"{prefix}/"):
                    return there + path[len(prefix) :]
        return None

    def _line(self, path: str, number: int) -> str:
        for here, there in self._places.items():
            if path.startswith(f"{there}/"):
                with (
                    contextlib.suppress(OSError, UnicodeDecodeError),
                    open(here + path[len(there) :], encoding="utf-8") as file,
                ):
                    return file.read().splitlines()[number - 1 : number][0].strip()
        return ""

    def _frames(self, error: BaseException) -> tuple[Frame, ...]:
        """Return up to three frames of an error's traceback that are in files of the image, innermost first."""
        found = []
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            path = self._image_path(frame.filename)
            if path and frame.lineno:
                found.append(Frame(path, frame.lineno, self._line(path, frame.lineno)))
        return tuple(found[:_MOST_FRAMES])

    def describe(self, error: BaseException) -> ImportOutcome:
        """Return the outcome of an import that raised `error`."""
        chain = list(_chain(error))
        return ImportOutcome(
            error=type(error).__name__,
            text=str(error),
            is_of_content=any(map(_is_of_content, chain)),
            missing=tuple(
                str(e.name) for e in chain if isinstance(e, ModuleNotFoundError) and e.name
            ),
            wanted=next(filter(None, map(_wanted, chain)), None),
            frames=next(filter(None, (self._frames(e) for e in reversed(chain))), ()),
        )


def _wanted(error: BaseException) -> Optional[str]:
    """Return the thing outside the image, such as "the network", that a failed import lacked; None for other errors."""
    if isinstance(error, _NoNetworkError):
        return "the network"
    if isinstance(error, _NoProgramError):
        return f"the program {error.filename}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if isinstance(error, KeyError) and trace is not None:
        frame = trace.tb_frame
        if frame.f_globals.get("__name__") == "os" and frame.f_code.co_name == "__getitem__":
            return f"the environment variable {error.args[0]}"
    return None


# --- Imports


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test)
    )


def imports_of_script(source: bytes, path: str) -> Optional[CodeType]:
    """Return code with the top-level import statements of a script; None for a script with a `__main__` guard."""
    tree = ast.parse(source)
    if any(map(_is_main_guard, tree.body)):
        return None
    tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return compile(tree, path, "exec", dont_inherit=True)


def _import(job: ImportJob, first_party: str) -> None:
    """Import one module, and its attribute if any; of a script without a `__main__` guard, run only the imports.

    To import such a script would be to run it. A script that is run by its path is no part of a package, so its name
    has no dots.
    """
    module = job.module.rpartition(".")[2] if job.is_by_path else job.module
    if job.script:
        path = os.path.join(first_party, job.script)
        with open(path, "rb") as file:
            code = imports_of_script(file.read(), path)
        if code is not None:
            exec(code, {"__name__": module, "__package__": module.rpartition(".")[0]})
            return
        if job.is_by_path:
            runpy.run_path(path, run_name=module)
            return
    found: Any = importlib.import_module(module)
    for name in job.attribute.split(".") if job.attribute else ():
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise ImportError(f"module {module!r} has no attribute {job.attribute!r}") from error


def _mapped_from_outside(allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the sorted paths of shared objects that this process has loaded from outside the folders `allowed`."""
    mapped = set()
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            fields = line.split(maxsplit=5)
            path = fields[5].strip() if len(fields) == 6 else ""
            # A deleted file belongs to the process itself, for example code that a run-time compiler made.
            if path.startswith("/") and "x" in fields[1] and not path.endswith(" (deleted)"):
                mapped.add(path)
    folders = tuple(f"{folder}/" for folder in allowed)
    return tuple(sorted(path for path in mapped if not path.startswith(folders)))


@dataclass(frozen=True)
class _Answer:
    """A line of JSON that a child process writes: the outcome of one import, and the import's number in the request."""

    job: int
    outcome: Optional[ImportOutcome]


@dataclass(frozen=True)
class _LastAnswer:
    """The last line of JSON that a child process writes: the shared objects that it loaded from outside the image."""

    outside: tuple[str, ...]


class _Importer:
    """Runs imports of an image's modules in child processes, and collects their outcomes."""

    def __init__(self, request: ImportModulesRequest) -> None:
        self._jobs = request.jobs
        self._first_party = os.path.abspath(FIRST_PARTY)
        venv = os.path.abspath(_VENV)
        layers = [os.path.realpath(layer) for layer in request.layers]
        self._outcomes = _Outcomes(
            {
                venv: request.venv,
                **{layer: request.venv for layer in layers},
                self._first_party: request.workdir,
            }
        )
        self._allowed = [
            os.path.realpath(folder)
            for folder in (*layers, self._first_party, os.environ["SLIM_RAY_IMAGE_BASE_ROOT"])
        ]
        standard = sysconfig.get_path("stdlib")
        self._path = [self._first_party, standard, os.path.join(standard, "lib-dynload")]
        self._site_packages = os.path.join(venv, request.site_packages)
        self._environment = request.environment
        self._find_library = library_finder(os.environ["SLIM_RAY_IMAGE_BASE_ROOT"])
        self.outside: set[str] = set()

    def _prepare(self, home: str) -> None:
        """Restrict this process to the image: its environment and import path, no network and no other program."""
        os.environ.clear()
        os.environ.update({**self._environment, "HOME": home, "TMPDIR": home})
        sys.path[:] = self._path
        site.addsitedir(self._site_packages)
        sys.argv[:] = [""]
        os.chdir(self._first_party)  # the image's working directory
        # The original function starts programs, which are refused.
        ctypes.util._findSoname_ldconfig = self._find_library  # type: ignore[attr-defined]
        sys.addaudithook(_refuse)

    def _run_jobs(self, numbers: Sequence[int], answers: int, home: str) -> None:
        """Do imports; write a line of JSON for each outcome, and one for shared objects from outside the image."""
        self._prepare(home)
        with os.fdopen(answers, "w", encoding="utf-8") as file:
            for number in numbers:
                outcome = None
                try:
                    _import(self._jobs[number], self._first_party)
                except BaseException as error:  # `SystemExit`, too: an import may call `sys.exit`
                    outcome = self._outcomes.describe(error)
                file.write(f"{to_json(_Answer(number, outcome))}\n")
                file.flush()
            file.write(f"{to_json(_LastAnswer(_mapped_from_outside(self._allowed)))}\n")

    def _fork(
        self, numbers: Sequence[int], home: str
    ) -> tuple[dict[int, Optional[ImportOutcome]], str]:
        """Run imports in a child process until one ends the process; return the outcomes and how the process ended."""
        reading, writing = os.pipe()
        output = tempfile.TemporaryFile(dir=home)
        child = os.fork()
        if child == 0:
            os.setsid()
            os.close(reading)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            try:
                self._run_jobs(numbers, writing, home)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(writing)
        try:
            lines = _read_lines(reading, self._jobs, numbers)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            os.close(reading)
        found = {}
        for line in lines:
            if line.encode().startswith(_LAST_LINE):
                self.outside |= set(from_json(_LastAnswer, line).outside)
            else:
                answer = from_json(_Answer, line)
                found[answer.job] = answer.outcome
        output.seek(0)
        tail = output.read().decode(errors="replace").strip()[-_MOST_OUTPUT:]
        return found, f"{_ending(status)}{f': {tail}' if tail else ''}"

    def run(self, numbers: Sequence[int], home: str) -> dict[int, Optional[ImportOutcome]]:
        """Run imports, the rest in a new process if one ends its process; return each outcome, None for a success."""
        outcomes: dict[int, Optional[ImportOutcome]] = {}
        remaining = list(numbers)
        while remaining:
            found, ending = self._fork(remaining, home)
            outcomes.update(found)
            remaining = [number for number in remaining if number not in found]
            if remaining:
                if ending.startswith(_KILLED) and len(numbers) == 1:
                    raise _killed_error(self._jobs[remaining[0]].module)
                outcomes[remaining.pop(0)] = ImportOutcome("", ending, is_of_content=True)
        return outcomes


def _killed_error(module: str) -> SlimRayImageError:
    """Return the error for an import whose process was killed, for example for lack of memory; never to be cached."""
    return SlimRayImageError(
        f"The process that imports {module} for a check of the image was killed.",
        fixes=["make sure that this machine has enough free memory, and try again"],
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"the process was ended by {_signal_name(os.WTERMSIG(status))}"
    return f"the process ended with exit code {os.WEXITSTATUS(status)}"


def _read_lines(reading: int, jobs: Sequence[ImportJob], numbers: Sequence[int]) -> list[str]:
    """Return the lines of JSON that a child process writes to a pipe, up to its last line or its end.

    Raises:
        SlimRayImageError: If an import takes minutes. This machine may be the reason, so the error must not be cached.
    """
    content = b""
    while True:
        ready, _, _ = select.select([reading], [], [], _SILENCE_SECONDS)
        if not ready:
            job = jobs[numbers[content.count(b"\n")]]
            raise SlimRayImageError(
                f"The import of {job.module} takes more than {_SILENCE_SECONDS // 60} minutes.",
                fixes=[
                    'let the module do its work in a function, or under `if __name__ == "__main__"`',
                    "set `skip_check=True` on the image",
                ],
            )
        block = os.read(reading, 1 << 16)
        content += block
        *_, last = content.splitlines() or [b""]
        # The pipe may stay open: a process that an import forked has it, too.
        if not block or (content.endswith(b"\n") and last.startswith(_LAST_LINE)):
            return content.decode().splitlines()


def main(request: ImportModulesRequest) -> None:
    """Do the requested imports, each that fails once more in a new process, and write the outcomes to imports.json."""
    merge_folders([os.path.realpath(layer) for layer in request.layers], _VENV)
    os.makedirs(FIRST_PARTY, exist_ok=True)
    home = os.path.abspath("home")
    os.mkdir(home)
    _leave_network()
    importer = _Importer(request)
    outcomes = importer.run(range(len(request.jobs)), home)
    for number in [number for number, outcome in outcomes.items() if outcome]:
        outcomes.update(importer.run([number], home))
    write_result(
        RESULT,
        ImportModulesResult(
            tuple(outcomes[number] for number in range(len(request.jobs))),
            tuple(sorted(importer.outside)),
        ),
    )


if __name__ == "__main__":
    run_program(main, ImportModulesRequest)
