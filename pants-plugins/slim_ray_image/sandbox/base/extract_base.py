"""Extract the Python interpreter from the layers of a base image, and collect facts about the base image.

In: the base's layer blobs and its environment variables. Out: `base/`, a folder with the interpreter, its standard
library and the base's shared libraries, and base.json. A launcher, whose path is in base.json, runs the interpreter in
place with the base's own loader, so the process maps no library of the host.
Specification: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md ("Applying Changesets").
"""

from __future__ import annotations

import email
import gzip
import json
import os
import posixpath
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Sequence

from slim_ray_image.core.base.base_facts import (
    BASE,
    FACTS,
    BaseFacts,
    BaseFactsRequest,
    LayerSize,
    MarkerEnvironment,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image.root_filesystem import RootFilesystem, absolute
from slim_ray_image.core.platforms import Platform, parse_platform
from slim_ray_image.sandbox.bytecode import run_compiler
from slim_ray_image.sandbox.report import run_program, write_result

_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20
_COMPILE_LIST = "compile.list"
_LAUNCHER = """\
#!/bin/sh
# Runs the interpreter of the base image where it lies, with the base's own loader and shared libraries.
root="${{SLIM_RAY_IMAGE_BASE_ROOT:-$(cd "${{0%/*}}/{up}" && pwd)}}"
export SLIM_RAY_IMAGE_BASE_ROOT="$root"
exec "$root{loader}" --inhibit-cache --library-path "{library_path}" --argv0 "$0" "$root{python}" "$@"
"""
# Lists the standard library modules that the sandbox programs and Pex import, as pairs of source and bytecode path. The
# base has no bytecode and sandboxes are read-only, so each of a dozen processes would compile these modules again.
_LIST_STANDARD_LIBRARY = """\
import argparse, ast, base64, configparser, csv, email.parser, fileinput, hashlib, json, py_compile, subprocess
import importlib.util, sys, tarfile, tempfile, urllib.request, uuid, xml.etree.ElementTree, zipfile
sources = {getattr(m, "__file__", None) or "" for m in list(sys.modules.values())}
for source in sorted(s for s in sources if s.startswith(sys.argv[1]) and s.endswith(".py")):
    print(source, importlib.util.cache_from_source(source), sep="\\0", end="\\0")
"""
_UNUSED_BY_THE_BUILD = re.compile(
    r"/(test|tests|idlelib|tkinter|turtledemo|ensurepip|site-packages|__pycache__)/"
)


class _Member(NamedTuple):
    """A tar entry of one of the base image's layers, with the number of the layer; the lowest is 0."""

    number: int
    info: tarfile.TarInfo

    @property
    def is_directory(self) -> bool:
        return self.info.isdir()

    @property
    def link(self) -> Optional[str]:
        return self.info.linkname if self.info.issym() else None


def _open_layer(blob: str) -> tarfile.TarFile:
    """Open a layer for random access. A compressed layer is first unpacked into an unnamed temporary file."""
    with open(blob, "rb") as file:
        is_gzip = file.read(len(_GZIP)) == _GZIP
    if not is_gzip:
        return tarfile.open(blob)
    plain: Any = tempfile.TemporaryFile(dir=".")
    with gzip.open(blob) as unpacked:
        shutil.copyfileobj(unpacked, plain, _CHUNK_BYTES)
    plain.seek(0)
    return tarfile.open(fileobj=plain)


class _RootFilesystem(RootFilesystem[_Member]):
    """The file tree of the base image: its layers applied in order. Paths are absolute in the image."""

    def __init__(self, blobs: Sequence[str]) -> None:
        super().__init__()
        self._layers = [_open_layer(blob) for blob in blobs]
        self._files: list[dict[str, tarfile.TarInfo]] = []  # per layer: path -> regular file
        self.layer_sizes: list[LayerSize] = []
        for number in range(len(blobs)):
            self.apply(self._members(number))

    def _members(self, number: int) -> Iterator[tuple[str, _Member]]:
        sizes: list[int] = []
        files: dict[str, tarfile.TarInfo] = {}
        self._files.append(files)
        for info in self._layers[number]:
            if info.isreg():
                sizes.append(info.size)
                files[absolute(info.name)] = info
            yield info.name, _Member(number, info)
        self.layer_sizes.append(LayerSize(sum(sizes), len(sizes)))

    def is_file(self, path: str) -> bool:
        entry = self.find(path)
        return entry is not None and (entry.info.isfile() or entry.info.islnk())

    def directories(self) -> list[str]:
        """Return the paths of all directories of the base image and of symlinks to directories, sorted."""
        found = []
        for path, (_, info) in self.entries.items():
            if info.isdir():
                found.append(path)
            elif info.issym():
                target = self.entries.get(self.resolve(path))
                if target is not None and target[1].isdir():
                    found.append(path)
        return sorted(found)

    def read(self, path: str) -> Optional[bytes]:
        """Return the content of a file of the base image, with symlinks followed; None if there is no such file."""
        return next((content for _, content, _ in self.read_all({self.resolve(path): path})), None)

    def read_all(self, wanted: Mapping[str, str]) -> Iterator[tuple[str, bytes, bool]]:
        """Yield (name, content, is_executable) of files of the base image; `wanted` maps their real paths to names."""
        for real, name in wanted.items():
            entry = self.entries.get(real)
            if entry is None or not (entry.info.isfile() or entry.info.islnk()):
                continue
            number, info = entry
            target = self._files[number].get(absolute(info.linkname if info.islnk() else info.name))
            file = self._layers[number].extractfile(target) if target else None
            if file is not None:
                yield name, file.read(), bool(info.mode & stat.S_IXUSR)


def _find_python(root: _RootFilesystem, search_path: Sequence[str], reference: str) -> str:
    """Return the real path of the base image's first Python on `search_path`, such as /usr/local/bin/python3.10."""
    for directory in search_path:
        for name in ("python3", "python"):
            candidate = root.resolve(posixpath.join(directory, name))
            if root.is_file(candidate) and re.fullmatch(
                r"python3\.\d+", posixpath.basename(candidate)
            ):
                return candidate
    raise SlimRayImageError(
        f"The base image {reference} has no Python.",
        evidence=[f"looked for python3 in {directory}" for directory in search_path],
        fixes=[
            "use a base image with a CPython of your resolve's version, such as 'python:3.10-slim'"
        ],
    )


def _programs(root: _RootFilesystem, search_path: Sequence[str], python: str) -> Mapping[str, str]:
    """Map each command on the base image's PATH to its path, without commands in the interpreter's own directory."""
    found: dict[str, str] = {}
    for directory in search_path:
        real = root.resolve(directory)
        if real == posixpath.dirname(python):
            continue
        for path in root.children(real):
            if root.is_file(path):
                name = posixpath.basename(path)
                found.setdefault(name, posixpath.join(directory, name))
    return found


def _has_bytecode(root: _RootFilesystem, python: str) -> bool:
    """Return whether the base image has bytecode of Python's standard library, judged by the module `os`."""
    name = posixpath.basename(python)
    library = posixpath.join(posixpath.dirname(posixpath.dirname(python)), "lib", name)
    return root.is_file(f"{library}/__pycache__/os.cpython-{name[6:].replace('.', '')}.pyc")


def _glibc_version(root: _RootFilesystem, platform: Platform, reference: str) -> str:
    """Return the version of the base image's glibc, such as "2.36", from its dpkg status, else from libc.so.6."""
    if any(posixpath.basename(path).startswith("ld-musl-") for path in root.entries):
        raise SlimRayImageError(
            f"The base image {reference} has musl as its C library, and Ray has no wheels for musl.",
            fixes=["use a base image with glibc, such as 'python:3.10-slim'"],
        )
    status = (root.read("/var/lib/dpkg/status") or b"").decode(errors="replace")
    for paragraph in status.split("\n\n"):
        package = email.message_from_string(paragraph)
        if package.get("Package") == "libc6" and "installed" in (
            package.get("Status") or "installed"
        ):
            version = re.match(r"(?:\d+:)?(\d+\.\d+)", package.get("Version") or "")
            if version:
                return version[1]
    for path in sorted(root.entries):
        if posixpath.basename(path) == "libc.so.6":
            banner = re.search(rb"GNU C Library [^\n]*version (\d+\.\d+)", root.read(path) or b"")
            if banner:
                return banner[1].decode()
    raise SlimRayImageError(
        f"The base image {reference} has no glibc whose version can be found.",
        evidence=["looked for libc6 in /var/lib/dpkg/status, and for libc.so.6"],
        fixes=["use a base image with glibc, such as 'python:3.10-slim'"],
    )


def _library_directories(root: _RootFilesystem, platform: Platform, prefix: str) -> list[str]:
    triplet = f"{platform.machine}-linux-gnu"
    named = [
        f"{prefix}/lib",
        f"/lib/{triplet}",
        f"/usr/lib/{triplet}",
        "/lib64",
        "/lib",
        "/usr/lib64",
        "/usr/lib",
    ]
    real = [root.resolve(directory) for directory in named]
    return [d for d in dict.fromkeys(real) if d in root.entries]


def _interpreter_files(root: _RootFilesystem, python: str, loader: str) -> dict[str, str]:
    """Map real paths in the base image to paths under BASE, for the interpreter, its loader and standard library."""
    prefix = posixpath.dirname(posixpath.dirname(python))
    standard_library = f"{prefix}/lib/{posixpath.basename(python)}/"
    wanted = {python: python, loader: loader}
    for path in root.entries:
        if path.startswith(standard_library) and not _UNUSED_BY_THE_BUILD.search(path):
            wanted[path] = path
    return wanted


def _shared_objects(root: _RootFilesystem, libraries: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (path with symlinks resolved, path) for each name of each shared library in folders of the base image."""
    for directory in libraries:
        for path in root.children(directory):
            if ".so" in posixpath.basename(path) and root.is_file(path):
                yield root.resolve(path), path


def _write(path: str, content: bytes, is_executable: bool) -> None:
    target = BASE + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(content)
    os.chmod(target, 0o755 if is_executable else 0o644)


def _extract_interpreter(root: _RootFilesystem, platform: Platform, python: str) -> str:
    """Write the base's Python, its libraries and a script that starts it under BASE; return the script's path there."""
    prefix = posixpath.dirname(posixpath.dirname(python))
    loader = root.resolve(platform.loader)
    libraries = _library_directories(root, platform, prefix)
    for name, content, is_executable in root.read_all(_interpreter_files(root, python, loader)):
        _write(name, content, is_executable)
    names: dict[str, list[str]] = {}
    for real, name in _shared_objects(root, libraries):
        names.setdefault(real, []).append(name)
    for real, content, is_executable in root.read_all({real: real for real in names}):
        for name in names[real]:
            _write(name, content, is_executable)
    launcher = posixpath.join(posixpath.dirname(python), "python-of-the-base")
    text = _LAUNCHER.format(
        up="/".join([".."] * len(posixpath.dirname(launcher).strip("/").split("/"))),
        loader=loader,
        library_path=":".join(f"$root{directory}" for directory in libraries),
        python=python,
    )
    _write(launcher, text.encode(), True)
    return launcher


def _run_interpreter(launcher: str, reference: str) -> Mapping[str, Any]:
    """Run the base image's Python on this machine, and return its version, implementation and platform.

    Raises:
        SlimRayImageError: If the interpreter does not run on this machine.
    """
    script = (
        "import json, os, platform, sys; print(json.dumps({"
        "'version': platform.python_version(), 'implementation': platform.python_implementation(),"
        "'sys_platform': sys.platform, 'os_name': os.name,"
        "'platform_system': platform.system(), 'platform_machine': platform.machine()}))"
    )
    result = subprocess.run(
        [BASE + launcher, "-B", "-s", "-S", "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "0"},
        check=False,
    )
    if result.returncode != 0:
        raise SlimRayImageError(
            f"The interpreter of the base image {reference} does not run on this machine.",
            evidence=result.stderr.strip().splitlines()[-3:],
            fixes=[
                "build on Linux of the image's architecture, with a base image of glibc 2.33 or newer"
            ],
        )
    facts: Mapping[str, Any] = json.loads(result.stdout)
    return facts


def _compile_standard_library(launcher: str, python: str) -> None:
    """Write bytecode of the standard library modules that Pex and the programs in sandboxes import.

    The tree under BASE is part of every layer's cache key, so the bytecode must be the same in every run. Therefore one
    process lists the modules and another compiles them: in a process that has imported other modules, whether a string
    is marshalled as shared depends on memory addresses.
    """
    root = os.path.abspath(BASE)
    standard_library = f"{root}{posixpath.dirname(posixpath.dirname(python))}/lib/"
    listed = subprocess.run(
        [root + launcher, "-B", "-s", "-S", "-c", _LIST_STANDARD_LIBRARY, standard_library],
        env={"PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    names = listed.decode("utf-8", "surrogateescape").split("\0")
    rows = [(source, source[len(root) :], pyc) for source, pyc in zip(names[::2], names[1::2])]
    for _, _, bytecode in rows:
        os.makedirs(os.path.dirname(bytecode), exist_ok=True)
    run_compiler([root + launcher], [rows], _COMPILE_LIST, {})


def _marker_environment(facts: Mapping[str, Any]) -> MarkerEnvironment:
    return MarkerEnvironment(
        implementation_name=facts["implementation"].lower(),
        implementation_version=facts["version"],
        os_name=facts["os_name"],
        platform_machine=facts["platform_machine"],
        platform_python_implementation=facts["implementation"],
        platform_release="",
        platform_system=facts["platform_system"],
        platform_version="",
        python_full_version=facts["version"],
        python_version=".".join(facts["version"].split(".")[:2]),
        sys_platform=facts["sys_platform"],
    )


def _read_text(root: _RootFilesystem, path: str) -> str:
    return (root.read(path) or b"").decode(errors="surrogateescape")


def _check_version(request: BaseFactsRequest, python: str, version: str) -> None:
    declared = request.environment.get("PYTHON_VERSION")
    if declared and declared != version:
        raise SlimRayImageError(
            f"The base image {request.reference} has PYTHON_VERSION {declared}, but its {python} is {version}.",
            fixes=["use a base image whose PYTHON_VERSION is the version of its interpreter"],
        )


def main(request: BaseFactsRequest) -> None:
    """Write `base/`, with the base image's interpreter, and base.json, with facts about the base image."""
    platform = parse_platform(request.platform)
    search_path = request.environment["PATH"].split(":")
    root = _RootFilesystem(request.blobs)
    python = _find_python(root, search_path, request.reference)
    glibc = _glibc_version(root, platform, request.reference)
    launcher = _extract_interpreter(root, platform, python)
    facts = _run_interpreter(launcher, request.reference)
    _compile_standard_library(launcher, python)
    _check_version(request, python, facts["version"])
    commands = root.children(root.resolve("/usr/local/bin"))
    write_result(
        FACTS,
        BaseFacts(
            launcher=launcher,
            python=python,
            python_version=facts["version"],
            glibc=glibc,
            marker_environment=_marker_environment(facts),
            directories=tuple(root.directories()),
            commands=tuple(map(posixpath.basename, commands)),
            programs=tuple(sorted(_programs(root, search_path, python).items())),
            has_bytecode=_has_bytecode(root, python),
            passwd=_read_text(root, "/etc/passwd"),
            group=_read_text(root, "/etc/group"),
            layer_sizes=tuple(root.layer_sizes),
        ),
    )


if __name__ == "__main__":
    run_program(main, BaseFactsRequest)
