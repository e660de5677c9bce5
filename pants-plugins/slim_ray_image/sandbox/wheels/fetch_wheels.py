"""Stage 3 of 6: wheels of the lock, by hash, with nothing but the standard library.

In: wheels that the lock has. Out: `wheels/`, the very files, and fetched.json. A file is looked for in a cache of this
machine, where it has its hash for a name, then where the lock or the index said that it is, then on every index. It is
held against its hash whenever it is read, from wherever.
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
# Of a build that was killed: one that downloads writes more often.
_ABANDONED_SECONDS = 3600
_PARTIAL = ".partial"
# Answers that another try does not change: those that blame the request, but for time and number of requests.
_PERMANENT = frozenset(range(400, 500)) - {408, 429}


@dataclass
class _Tried:
    """Why a wheel could not be had.

    Attributes:
        others: What was there in its place: (URL, what it has).
        problems: What could not be read, or lacks it.
    """

    others: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Cut(OSError):
    """The end of a connection before that of the content."""


def _copy(source: BinaryIO, target: BinaryIO, most: Optional[int]) -> tuple[str, int]:
    """Copy, but for what is beyond `most` bytes, and return the SHA-256 and the number of bytes."""
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
    """Put a file, which nobody changes, in another place too; as a copy where a file system cannot share it."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _take_cached(wheel: LockedWheel, cached: str) -> Optional[bool]:
    """Put a cached wheel in its place.

    Returns:
        None where there is none; False for one that is not what its name says, which is then removed.
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
    """Put the content of a URL in its place and into the cache if it is the wheel.

    Returns:
        What it has in the place of the wheel; "" if it is the wheel.
    """
    partial = f"{cached}.{uuid.uuid4().hex}{_PARTIAL}"
    try:
        with client.open(url) as response, open(partial, "wb") as target:
            sha256, byte_count = _copy(response, target, wheel.byte_count)
            length = getattr(response, "headers", {}).get("Content-Length")
        if sha256 == wheel.sha256:
            # Not out of the cache, where another build may remove what it finds changed.
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
    """Do so, again where a connection fails."""
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
    """Yield where the wheel may be: where it is said to be, then what indexes link to under its name."""
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
    """Put a wheel in its place, if it can be had.

    Returns:
        Whether the cache had another in its place, and what stood in the way.
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
    """Remove from the cache what builds that were killed had written half."""
    now = time.time()
    for entry in os.scandir(WHEEL_CACHE):
        with contextlib.suppress(FileNotFoundError):  # another build removes it, too
            if entry.name.endswith(_PARTIAL) and now - entry.stat().st_mtime > _ABANDONED_SECONDS:
                os.unlink(entry.path)


def main(request: FetchRequest) -> None:
    """Write the wheels and fetched.json."""
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
