"""Fetches the locked uv for this host, with nothing but the standard library: uv then installs every other tool.

Pants' own way to a tool's environment (Pex, and pip below it) takes five to ten times as long and puts the indexes'
credentials on command lines; docs/decisions has the measurements.

In: a hash-locked requirements file that pins uv. Out: `uv`, its executable. Formats: the simple repository API
(https://packaging.python.org/en/latest/specifications/simple-repository-api/) and wheels.
"""

from __future__ import annotations

import hashlib
import html.parser
import io
import os
import platform
import re
import zipfile
from typing import Any, Iterator, Mapping, Optional
from urllib.parse import unquote, urljoin, urlsplit

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.host_network import read_host_network
from slim_ray_image.sandbox.index_client import INDEX_FIXES, IndexClient, as_url, reason_of
from slim_ray_image.sandbox.report import run_program


class _Links(html.parser.HTMLParser):
    """The targets of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _read_pin(lockfile: str) -> tuple[str, frozenset[str]]:
    """Return uv's version and SHA-256 hashes, of the lock's lines in the form that uv writes."""
    with open(lockfile, encoding="utf-8") as file:
        entry = re.search(r"^uv==(\S+)((?:[ \\\n]+--hash=sha256:[0-9a-f]{64})+)", file.read(), re.M)
    assert entry, lockfile
    return entry[1], frozenset(re.findall(r"sha256:([0-9a-f]{64})", entry[2]))


def wheel_pattern(system: str, machine: str, has_glibc: bool) -> str:
    """Return what the end of a uv wheel's name matches on a host, as `platform` describes it."""
    if system == "Darwin":
        return rf"macosx_\w+_({machine}|universal2)\.whl"
    return rf"{'manylinux' if has_glibc else 'musllinux'}_[\w.]*_{machine}\.whl"


def _links(opener: IndexClient, page: str) -> Iterator[str]:
    """The absolute URLs that a page, or a folder, links to."""
    folder = unquote(urlsplit(page).path)
    if page.startswith("file:") and os.path.isdir(folder):
        yield from (f"file://{os.path.join(folder, name)}" for name in sorted(os.listdir(folder)))
        return
    parser = _Links()
    parser.feed(opener.read(page).decode(errors="replace"))
    yield from (urljoin(page, link) for link in parser.found)


def _find_wheel(
    opener: IndexClient, page: str, version: str, hashes: frozenset[str]
) -> Optional[bytes]:
    """Return the first file that `page` links to which is the locked uv for this host."""
    pattern = wheel_pattern(platform.system(), platform.machine(), bool(platform.libc_ver()[0]))
    for link in _links(opener, page):
        name = unquote(urlsplit(link).path.rpartition("/")[2])
        if name.startswith(f"uv-{version}-") and re.search(f"{pattern}$", name):
            content = opener.read(link.partition("#")[0])
            if hashlib.sha256(content).hexdigest() in hashes:
                return content
    return None


def main(request: Mapping[str, Any]) -> None:
    """Write `uv`."""
    version, hashes = _read_pin(request["lockfile"])
    opener = IndexClient(request["certificates"], read_host_network())
    pages = [
        *map(as_url, request["find_links"]),
        *(f"{index.rstrip('/')}/uv/" for index in request["indexes"]),
    ]
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
    run_program(main)
