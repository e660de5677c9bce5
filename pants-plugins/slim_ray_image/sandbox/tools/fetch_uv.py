"""Fetch the locked version of uv for this host, with only Python's standard library; uv installs the other tools.

Pants' own way to a tool's environment (Pex, and pip below it) takes five to ten times as long and puts the indexes'
credentials on command lines; docs/decisions has the measurements.

In: a hash-locked requirements file that pins uv. Out: `uv`, its executable.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import zipfile
from typing import Optional

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.indexes import file_of
from slim_ray_image.core.wheels.uv_call import FetchUvRequest
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.tools.host_network import read_host_network
from slim_ray_image.sandbox.tools.index_client import INDEX_FIXES, IndexClient, reason_of
from slim_ray_image.sandbox.tools.index_pages import links_of, pages_of


def _read_pin(lockfile: str) -> tuple[str, frozenset[str]]:
    """Return uv's version and SHA-256 hashes from a lockfile in the form that uv writes."""
    with open(lockfile, encoding="utf-8") as file:
        entry = re.search(r"^uv==(\S+)((?:[ \\\n]+--hash=sha256:[0-9a-f]{64})+)", file.read(), re.M)
    assert entry, lockfile
    return entry[1], frozenset(re.findall(r"sha256:([0-9a-f]{64})", entry[2]))


def wheel_pattern(system: str, machine: str, has_glibc: bool) -> str:
    """Return a regular expression for the end of a uv wheel's file name that fits a host.

    Args:
        system: `platform.system()` of the host.
        machine: `platform.machine()` of the host.
    """
    if system == "Darwin":
        return rf"macosx_\w+_({machine}|universal2)\.whl"
    return rf"{'manylinux' if has_glibc else 'musllinux'}_[\w.]*_{machine}\.whl"


def _find_wheel(
    opener: IndexClient, page: str, version: str, hashes: frozenset[str]
) -> Optional[bytes]:
    """Return the first file linked on `page` that is the locked wheel of uv for this host; None if there is none."""
    pattern = wheel_pattern(platform.system(), platform.machine(), bool(platform.libc_ver()[0]))
    for link in links_of(opener, page):
        name = file_of(link)
        if name.startswith(f"uv-{version}-") and re.search(f"{pattern}$", name):
            content = opener.read(link)
            if hashlib.sha256(content).hexdigest() in hashes:
                return content
    return None


def main(request: FetchUvRequest) -> None:
    """Find the locked wheel of uv on the indexes, and write its executable to the file `uv`."""
    version, hashes = _read_pin(request.lockfile)
    places = request.places
    opener = IndexClient(places.certificates, read_host_network())
    pages = pages_of("uv", places.indexes, places.find_links)
    problems = []
    for page in pages:
        try:
            wheel = _find_wheel(opener, page, version, hashes)
        except (OSError, ValueError) as error:
            problems.append(f"{page}: {reason_of(error)}")
            continue
        if wheel:
            with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
                content = archive.read(f"uv-{version}.data/scripts/uv")
            with open("uv", "wb") as file:
                file.write(content)
            os.chmod("uv", 0o755)
            return
        problems.append(f"{page}: has no uv {version} for this machine")
    raise SlimRayImageError(
        f"Cannot fetch uv {version}, which installs the tools of slim_ray_image and the distributions of images.",
        evidence=problems or ["`[python-repos]` names no index and no page of links"],
        fixes=INDEX_FIXES,
    )


if __name__ == "__main__":
    run_program(main, FetchUvRequest)
