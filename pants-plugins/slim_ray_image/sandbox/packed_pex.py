"""Stage 3 of 6, second half: an environment of the base's interpreter, packed, and what is in the pack.

In: a virtual environment. Out: requirements.pex, a PEX of layout `packed`, whose `.deps` has one uncompressed zip for
each distribution, and inventory.json, what is in each: https://docs.pex-tool.org/ (`--venv-repository`).
"""

from __future__ import annotations

import base64
import csv
import email
import hashlib
import io
import os
import posixpath
import sys
import zipfile
from collections import Counter
from typing import Any, Iterable, Mapping, Optional, Sequence

from packaging.utils import canonicalize_name

from slim_ray_image.core.dynamic_imports import outermost_modules
from slim_ray_image.core.exclude_files import outermost
from slim_ray_image.core.layers import COMMAND_DIRECTORY, LINKED_SCRIPTS, VENV, site_packages_of
from slim_ray_image.core.module_uses import find_uses
from slim_ray_image.core.prune_rules import divided_distributions, part_at
from slim_ray_image.sandbox.deps_zip import (
    LAYOUT,
    console_scripts,
    has_place,
    metadata_path,
    place_of,
)
from slim_ray_image.sandbox.report import run_tool, write_json
from slim_ray_image.sandbox.run_pex import pex_command, pex_environment

ENVIRONMENT = "venv"
_PEX = "requirements.pex"
_SITE_PACKAGES = site_packages_of(f"python{sys.version_info[0]}.{sys.version_info[1]}")


def _places(wheel: zipfile.ZipFile) -> dict[str, str]:
    """Return path in the image -> the file of the zip."""
    record = f"{posixpath.dirname(metadata_path(wheel))}/RECORD"
    return {
        place_of(info.filename, _SITE_PACKAGES): info.filename
        for info in wheel.infolist()
        if not info.is_dir() and has_place(info.filename, record)
    }


def _scripts(wheel: zipfile.ZipFile, places: Mapping[str, str]) -> list[str]:
    """Return the commands that a distribution brings."""
    directory = f"{VENV}/bin"
    files = {posixpath.basename(p) for p in places if posixpath.dirname(p) == directory}
    return sorted(files | set(console_scripts(wheel)))


def _uses(wheel: zipfile.ZipFile, name: str) -> list[str]:
    """Return what a distribution uses of others that have parts."""
    found: set[str] = set()
    packages = [package for package in divided_distributions() if package != name]
    for file in wheel.namelist():
        if file.endswith(".py"):
            content = wheel.read(file)
            found.update(use for package in packages for use in find_uses(file, content, package))
    return sorted(found)


def _part_bytes(places: Mapping[str, int], name: str) -> dict[str, int]:
    """Return part -> bytes, of a distribution that has parts.

    Args:
        places: Path in the image -> bytes.
    """
    found: dict[str, int] = {}
    for path, size in places.items():
        part = part_at(posixpath.relpath(path, _SITE_PACKAGES), name)
        if part:
            found[part.name] = found.get(part.name, 0) + size
    return found


def _roots(places: Iterable[str], scripts: Iterable[str]) -> tuple[str, ...]:
    """Return the outermost paths that a distribution takes in the image, its commands' among them."""
    commands = [f"{VENV}/bin/{script}" for script in scripts]
    links = [f"{COMMAND_DIRECTORY}/{script}" for script in scripts if script in LINKED_SCRIPTS]
    return outermost([*places, *commands, *links], _SITE_PACKAGES)


def _describe(folder: str, file: str, shared_files: Mapping[str, str]) -> Mapping[str, Any]:
    """Return a row of inventory.json for one zip of `.deps` (core metadata: packaging.python.org)."""
    with zipfile.ZipFile(os.path.join(folder, file)) as wheel:
        files = [info for info in wheel.infolist() if not info.is_dir() and info.filename != LAYOUT]
        metadata = email.message_from_bytes(wheel.read(metadata_path(wheel)))
        name = canonicalize_name(metadata["Name"])
        places = _places(wheel)
        scripts = _scripts(wheel, places)
        sizes = {path: wheel.getinfo(inner).file_size for path, inner in places.items()}
        return {
            "file": file,
            "name": name,
            "version": metadata["Version"],
            "unpacked_bytes": sum(info.file_size for info in files),
            "file_count": len(files),
            "requires_dist": metadata.get_all("Requires-Dist") or [],
            "provides_extra": metadata.get_all("Provides-Extra") or [],
            "modules": outermost_modules(info.filename for info in files),
            "scripts": scripts,
            "shared_files": shared_files,
            "part_bytes": _part_bytes(sizes, name),
            "roots": _roots(places, scripts),
            "uses": _uses(wheel, name),
        }


def _recorded_hashes(wheel: zipfile.ZipFile) -> dict[str, str]:
    """Return path relative to site-packages -> hash, of RECORD; Pants 2.17's Pex packs none."""
    name = f"{posixpath.dirname(metadata_path(wheel))}/RECORD"
    if name not in wheel.namelist():
        return {}
    rows = csv.reader(io.StringIO(wheel.read(name).decode(), newline=""))
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[1]}


def _hash(content: bytes) -> str:
    """Return a hash as RECORD has it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"


def find_shared_files(folder: str) -> dict[str, dict[str, str]]:
    """Return zip -> path in the image -> hash, for the paths that more than one zip has.

    A hash of RECORD is better than one of the content: in one environment a file that two distributions have is the
    one that was written last, in both of their zips.
    """
    places, owners = {}, Counter[str]()
    files = sorted(os.listdir(folder))
    for file in files:
        with zipfile.ZipFile(os.path.join(folder, file)) as wheel:
            places[file] = _places(wheel)
        owners.update(places[file].keys())
    found: dict[str, dict[str, str]] = {file: {} for file in files}
    for file in files:
        shared = sorted(path for path in places[file] if owners[path] > 1)
        if shared:
            with zipfile.ZipFile(os.path.join(folder, file)) as wheel:
                recorded = _recorded_hashes(wheel)
                for path in shared:
                    relative = posixpath.relpath(path, _SITE_PACKAGES)
                    found[file][path] = recorded.get(relative) or _hash(
                        wheel.read(places[file][path])
                    )
    return found


def pack_environment(
    requirements: Sequence[str], shared_files: Optional[Mapping[str, Mapping[str, str]]] = None
) -> None:
    """Write requirements.pex and inventory.json.

    Args:
        requirements: `name==version` of all that is installed in `ENVIRONMENT`.
        shared_files: What `find_shared_files` finds, where it is known from before the installation.
    """
    command = pex_command(
        # Every distribution is named. A wheel of the repository may require another whose code is in the sources.
        *("pex", *requirements, "--intransitive", "--venv-repository", ENVIRONMENT, "--pre"),
        *("--layout", "packed", "--no-compress", "--output-file", _PEX),
    )
    run_tool(command, pex_environment())
    folder = os.path.join(_PEX, ".deps")
    os.makedirs(folder, exist_ok=True)  # code that needs none has a PEX without the folder
    if shared_files is None:
        shared_files = find_shared_files(folder)
    rows = [_describe(folder, file, shared_files[file]) for file in sorted(os.listdir(folder))]
    write_json("inventory.json", rows)
