"""Stage 3 of 6: fetch wheels that the lockfile pins, and check their hashes, with only Python's standard library.

In: wheels that the lock has. Out: `wheels/`, the unchanged files, and fetched.json. The program looks for a wheel first
in a cache of this machine, where its file name is its SHA-256, then at the URL that the lock or the index gave, then on
every index. The hash is checked every time a wheel is read, from any of these places.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, Iterator, Optional

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.folders import WHEELS
from slim_ray_image.core.wheels.indexes import file_of
from slim_ray_image.core.wheels.uv_call import NetworkPlaces
from slim_ray_image.core.wheels.wheels import (
    FetchRequest,
    FetchResult,
    LockedWheel,
    other_hash_error,
)
from slim_ray_image.sandbox.report import run_program, write_result
from slim_ray_image.sandbox.tools.host_network import read_host_network
from slim_ray_image.sandbox.tools.index_client import INDEX_FIXES, IndexClient, reason_of
from slim_ray_image.sandbox.tools.index_pages import links_of, pages_of

# A named cache of Pants, shared by every build on this machine.
WHEEL_CACHE = ".wheels"
_RESULT = "fetched.json"
_AT_ONCE = 8
_CHUNK_BYTES = 1 << 20
_TRIES = 3
_FIRST_WAIT_SECONDS = 0.5
# Age at which a partial file must be left over from a killed build: a running download writes more often.
_ABANDONED_SECONDS = 3600
_PARTIAL = ".partial"
# HTTP statuses that a retry does not change: all client errors except Request Timeout and Too Many Requests.
_PERMANENT = frozenset(range(400, 500)) - {408, 429}


@dataclass
class _Tried:
    """Reasons why a wheel could not be fetched.

    Attributes:
        others: (URL, description of its content) of files that are not the locked wheel.
        problems: Pages and URLs that could not be read or lack the wheel, with the reason.
    """

    others: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Cut(OSError):
    """The connection of a download ended before the content was complete."""


def _copy(source: BinaryIO, target: BinaryIO, most: Optional[int]) -> tuple[str, int]:
    """Copy a stream to its end, or until more than `most` bytes are copied; return the bytes' SHA-256 and number."""
    digest, byte_count = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
        byte_count += len(chunk)
        if most is not None and byte_count > most:
            break
    return digest.hexdigest(), byte_count


def _sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _link(source: str, target: str) -> None:
    """Make a hard link to a file, which nobody changes, at `target`; copy the file if the file system has no links."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _take_cached(wheel: LockedWheel, cached: str) -> Optional[bool]:
    """Link a wheel from this machine's cache into `wheels/`, and check its hash.

    Returns:
        True if the cache has the wheel; None if the cache lacks it; False if the cached file has another hash than its
        name says. Such a file is removed from the cache.
    """
    target = f"{WHEELS}/{wheel.file}"
    try:
        _link(cached, target)
    except FileNotFoundError:
        return None
    if _sha256_of(target) == wheel.sha256:
        return True
    os.unlink(target)
    with contextlib.suppress(FileNotFoundError):  # another build found it, too
        os.unlink(cached)
    return False


def _download_once(client: IndexClient, url: str, wheel: LockedWheel, cached: str) -> str:
    """Download a URL, and put its content into `wheels/` and the cache if the content is the wheel.

    Returns:
        "" if the content is the wheel; else a description of the content.

    Raises:
        OSError: If the URL cannot be read or the connection ends early.
    """
    partial = f"{cached}.{uuid.uuid4().hex}{_PARTIAL}"
    try:
        with client.open(url) as response, open(partial, "wb") as target:
            sha256, byte_count = _copy(response, target, wheel.byte_count)
            length = getattr(response, "headers", {}).get("Content-Length")
        if sha256 == wheel.sha256:
            # Linked before the file enters the cache, from where another build may remove it.
            _link(partial, f"{WHEELS}/{wheel.file}")
            os.replace(partial, cached)
            return ""
        if wheel.byte_count is not None and byte_count > wheel.byte_count:
            return f"more than {wheel.byte_count} bytes"
        if length and byte_count < int(length):
            raise _Cut(f"ended after {byte_count} of {length} bytes")
        return f"sha256:{sha256}"
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def _download(client: IndexClient, url: str, wheel: LockedWheel, cached: str) -> str:
    """Download a wheel from a URL; retry if a connection fails or the server has a temporary error.

    The result and the errors are those of `_download_once`.
    """
    for number in range(_TRIES):
        try:
            return _download_once(client, url, wheel, cached)
        except urllib.error.HTTPError as error:
            if error.code in _PERMANENT or number == _TRIES - 1:
                raise
        except (OSError, http.client.HTTPException):
            if number == _TRIES - 1:
                raise
        time.sleep(_FIRST_WAIT_SECONDS * 2**number)
    raise AssertionError


def _urls(
    client: IndexClient, wheel: LockedWheel, places: NetworkPlaces, tried: _Tried
) -> Iterator[str]:
    """Yield URLs that may have the wheel: its known URL, then links with its file name on index pages."""
    if wheel.url:
        yield wheel.url
    for page in pages_of(wheel.name, places.indexes, places.find_links):
        try:
            links = [link for link in links_of(client, page) if file_of(link) == wheel.file]
        except (OSError, ValueError, http.client.HTTPException) as error:
            tried.problems.append(f"{page}: {reason_of(error)}")
            continue
        if not links:
            tried.problems.append(f"{page}: has no {wheel.file}")
        yield from (link for link in links if link != wheel.url)


def _fetch(wheel: LockedWheel, client: IndexClient, places: NetworkPlaces) -> tuple[bool, _Tried]:
    """Put a wheel into `wheels/`, from the cache or from the network.

    Returns:
        Whether the cache had a file with another hash in place of the wheel, and the reasons why fetching failed, empty
        if the wheel was fetched.
    """
    cached, tried = f"{WHEEL_CACHE}/{wheel.sha256}", _Tried()
    found = _take_cached(wheel, cached)
    if found:
        return False, tried
    for url in _urls(client, wheel, places, tried):
        try:
            other = _download(client, url, wheel, cached)
        except (OSError, ValueError, http.client.HTTPException) as error:
            tried.problems.append(f"{url}: {reason_of(error)}")
            continue
        if not other:
            return found is False, _Tried()
        tried.others.append((url, other))
    return found is False, tried


def _raise_if_missing(tried: dict[LockedWheel, _Tried]) -> None:
    others = [
        f"{url} has {other}, not sha256:{wheel.sha256}"
        for wheel, what in tried.items()
        for url, other in what.others
    ]
    if others:
        raise other_hash_error(others)
    problems = [problem for what in tried.values() for problem in what.problems]
    missing = [wheel.file for wheel in tried if not os.path.exists(f"{WHEELS}/{wheel.file}")]
    if missing:
        raise SlimRayImageError(
            f"{len(missing)} of the wheels that the lockfile has cannot be fetched.",
            evidence=[*missing, *sorted(set(problems))],
            fixes=INDEX_FIXES,
        )


def _remove_abandoned() -> None:
    """Remove partial downloads that killed builds left in this machine's cache of wheels."""
    now = time.time()
    for entry in os.scandir(WHEEL_CACHE):
        with contextlib.suppress(FileNotFoundError):  # another build removes it, too
            if entry.name.endswith(_PARTIAL) and now - entry.stat().st_mtime > _ABANDONED_SECONDS:
                os.unlink(entry.path)


def main(request: FetchRequest) -> None:
    """Fetch the wheels into `wheels/`, and write fetched.json: the files that had changed in the cache."""
    for folder in (WHEELS, WHEEL_CACHE):
        os.makedirs(folder, exist_ok=True)
    _remove_abandoned()
    client = IndexClient(request.places.certificates, read_host_network())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda w: _fetch(w, client, request.places), request.wheels))
    _raise_if_missing({w: tried for w, (_, tried) in zip(request.wheels, found)})
    replaced = [w.file for w, (is_replaced, _) in zip(request.wheels, found) if is_replaced]
    write_result(_RESULT, FetchResult(tuple(replaced)))


if __name__ == "__main__":
    run_program(main, FetchRequest)
