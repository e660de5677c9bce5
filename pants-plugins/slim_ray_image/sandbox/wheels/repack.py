"""Stage 3 of 6, if a distribution was built on this machine: turn the distributions of a PEX back into wheels.

In: a PEX of layout `packed` from Pants' own PEX rules, in which a distribution is an installed wheel, zipped:
https://github.com/pex-tool/pex/blob/v2.105.2/pex/pep_427.py. Out: `built/`, the wheels of the requested distributions.
First the tags in their WHEEL files are checked against the base, since Pants chose them for a Python of this machine.
"""

from __future__ import annotations

import csv
import email
import io
import os
import posixpath
import re
import zipfile
from dataclasses import dataclass
from typing import Optional, Sequence

from packaging.utils import canonicalize_name

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.wheels.repack_request import BUILT, RepackRequest
from slim_ray_image.core.wheels.wheel_tags import fits, is_built_on_host
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.spool import sha256_of

_DEPS = ".deps"
_DIST_INFO = ".dist-info"
# Pex's own entries: descriptions of the layout and of the wheel, and the folder of files outside site-packages.
_LAYOUT = ".layout.json"
_PEX_INFO = ".pex-info"
_STASH = ".prefix/"
# pip installs headers into a folder named after the Python, then the distribution.
_HEADER = re.compile(rf"{re.escape(_STASH)}include/site/[^/]+/[^/]+/(.+)")
# Files in which an installer records how and from where the wheel was installed on this machine.
_OF_INSTALLERS = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")
# Names a Python of this machine. In a wheel, `#!python` stands for the interpreter that it is installed for.
_SHEBANG = re.compile(rb"\A#!.*python.*")
_PLAIN_FILE = 0o100644 << 16


@dataclass(frozen=True)
class _Wheel:
    """The name, the version and the platform tags of a wheel; the tags come from its WHEEL file."""

    name: str
    version: str
    tags: tuple[str, ...]


def _metadata_path(wheel: zipfile.ZipFile) -> str:
    """Return the path of METADATA in a wheel. METADATA of vendored distributions, in deeper folders, is ignored."""
    (path,) = (
        name
        for name in wheel.namelist()
        if name.endswith(".dist-info/METADATA") and name.count("/") == 1
    )
    return path


def _read_wheel(path: str) -> _Wheel:
    with zipfile.ZipFile(path) as wheel:
        metadata_file = _metadata_path(wheel)
        metadata = email.message_from_bytes(wheel.read(metadata_file))
        wheel_file = f"{posixpath.dirname(metadata_file)}/WHEEL"
        tags = email.message_from_bytes(wheel.read(wheel_file)).get_all("Tag") or []
    return _Wheel(canonicalize_name(metadata["Name"]), metadata["Version"], tuple(tags))


def _problem_of(wheel: _Wheel, request: RepackRequest) -> Optional[str]:
    """Return why a wheel must not be in the image, by its tags; None if the wheel may be in the image."""
    platform, python = parse_platform(request.platform), request.python_minor
    tags = f"{wheel.name} {wheel.version}: {', '.join(wheel.tags)}"
    if fits(wheel.tags, python, platform, request.glibc):
        return None
    if not is_built_on_host(wheel.tags, python, platform):
        return f"{tags}, for another platform"
    if wheel.name not in request.host_built:
        return f"{tags}, built on this machine, which `[slim-ray].host_built_distributions` does not allow"
    return None


def _check_wheels(wheels: Sequence[_Wheel], request: RepackRequest) -> None:
    problems = sorted(filter(None, (_problem_of(wheel, request) for wheel in wheels)))
    if problems:
        raise SlimRayImageError(
            f"Wheels that Pants' own PEX rules packed for {request.address} do not run on {request.platform}, "
            f"CPython {request.python_minor}, glibc {request.glibc} ({request.base}).",
            evidence=problems,
            fixes=[
                "build on a machine whose glibc is not newer than the base's",
                f"require versions that have wheels for this platform, then refresh {request.lockfile_path}",
            ],
        )


def _place_in_wheel(name: str, data: str) -> str:
    """Return the path that a file of an installed wheel has in a wheel that is not installed.

    Args:
        name: Path in the zipped, installed wheel.
        data: The wheel's folder for files outside site-packages (`*.data`).
    """
    if not name.startswith(_STASH):
        return name
    header = _HEADER.match(name)
    if header:
        return f"{data}/headers/{header[1]}"
    scheme, _, inner = name[len(_STASH) :].partition("/")
    if scheme == "bin":
        return f"{data}/scripts/{inner}"
    if scheme in ("data", "platlib", "purelib"):
        return f"{data}/{scheme}/{inner}"
    return f"{data}/data/{scheme}/{inner}"


def _is_of_wheel(name: str, dist_info: str) -> bool:
    """Return whether a file was in the original wheel, rather than written by Pex or an installer."""
    folder, _, file = name.rpartition("/")
    of_installer = folder == dist_info and file in _OF_INSTALLERS
    return bool(file) and not of_installer and name != _LAYOUT and not folder.endswith(_PEX_INFO)


def _write_wheel(installed: str, path: str) -> None:
    """Write an installed wheel, which Pex has zipped, as a normal wheel file, with a new RECORD."""
    with zipfile.ZipFile(installed) as source, zipfile.ZipFile(path, "w") as target:
        dist_info = posixpath.dirname(_metadata_path(source))
        data, rows = f"{dist_info[: -len(_DIST_INFO)]}.data", []
        for info in sorted(source.infolist(), key=lambda info: info.filename):
            if not _is_of_wheel(info.filename, dist_info):
                continue
            place, content = _place_in_wheel(info.filename, data), source.read(info)
            if place.startswith(f"{data}/scripts/"):
                content = _SHEBANG.sub(b"#!python", content, count=1)
            _write_file(target, place, content, info.external_attr)
            rows.append((place, f"sha256={sha256_of(content)}", str(len(content))))
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows([*rows, (f"{dist_info}/RECORD", "", "")])
        _write_file(target, f"{dist_info}/RECORD", record.getvalue().encode(), _PLAIN_FILE)


def _write_file(archive: zipfile.ZipFile, name: str, content: bytes, attributes: int) -> None:
    info = zipfile.ZipInfo(name)  # with a fixed time, so that the archive is reproducible
    info.external_attr = attributes
    archive.writestr(info, content)


def main(request: RepackRequest) -> None:
    """Write `built/`, the wheels of the requested distributions of a PEX, if their tags fit the image."""
    folder = os.path.join(request.pex, _DEPS)
    found = {file: _read_wheel(os.path.join(folder, file)) for file in sorted(os.listdir(folder))}
    wheels = {file: wheel for file, wheel in found.items() if wheel.name in request.names}
    _check_wheels(list(wheels.values()), request)
    os.makedirs(BUILT)
    for file in wheels:
        _write_wheel(os.path.join(folder, file), os.path.join(BUILT, file))


if __name__ == "__main__":
    run_program(main, RepackRequest)
