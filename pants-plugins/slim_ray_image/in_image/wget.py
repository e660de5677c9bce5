"""GNU Wget as far as KubeRay's probes go, for bases that have none: `wget --tries 1 -T 2 -q -O- URL`.

It runs in the image, on the base's interpreter and the standard library alone. Options and exit statuses are Wget's
(https://www.gnu.org/software/wget/manual/wget.html); an option that it does not know is refused, not skipped.
Unlike Wget it asks this machine directly, whatever the proxy settings are: they are inherited from the cluster, and a
probe through a proxy fails.
"""

from __future__ import annotations

import getopt
import http.client
import posixpath
import shutil
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any, Callable, Optional, Sequence

GENERIC, USAGE, FILE, NETWORK, RESPONSE = 1, 2, 3, 4, 8
_LONG = ["tries=", "timeout=", "quiet", "no-verbose", "output-document="]
_USAGE = "usage: wget [-q] [-nv] [-t TRIES] [-T SECONDS] [-O FILE] URL..."
_DEFAULT_TRIES, _DEFAULT_SECONDS, _LONGEST_WAIT = 20, 900.0, 10


class _Failure(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _is_this_machine(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _open(url: str, seconds: Optional[float]) -> Any:
    proxies = urllib.request.ProxyHandler({} if _is_this_machine(url) else None)
    try:
        return urllib.request.build_opener(proxies).open(url, timeout=seconds)
    except urllib.error.HTTPError as error:
        error.close()
        raise _Failure(RESPONSE, f"{url}: {error.code} {error.reason}") from error
    except ValueError as error:
        raise _Failure(USAGE, f"{url}: {error}") from error


def _is_worth_another_try(error: Exception) -> bool:
    reason = getattr(error, "reason", error)
    return not isinstance(reason, (ConnectionRefusedError, socket.gaierror))


def _fetch(url: str, target: IO[bytes], tries: int, seconds: Optional[float]) -> None:
    for number in range(1, tries + 1):
        try:
            with _open(url, seconds) as response:
                shutil.copyfileobj(response, target)
            return
        except (OSError, http.client.HTTPException) as error:
            if number == tries or not _is_worth_another_try(error):
                raise _Failure(
                    NETWORK, f"{url}: {str(getattr(error, 'reason', error)).strip()}"
                ) from error
        time.sleep(min(number, _LONGEST_WAIT))


def _save(url: str, path: str, tries: int, seconds: Optional[float]) -> None:
    path = path or posixpath.basename(urllib.parse.urlsplit(url).path) or "index.html"
    if path == "-":
        _fetch(url, sys.stdout.buffer, tries, seconds)
        return
    try:
        with open(path, "wb") as file:
            _fetch(url, file, tries, seconds)
    except OSError as error:
        raise _Failure(FILE, f"{path}: {error.strerror}") from error


def _number(option: str, value: str, convert: Callable[[str], Any]) -> Any:
    try:
        return convert(value)
    except ValueError as error:
        raise _Failure(USAGE, f"{option} needs a number, not {value!r}\n{_USAGE}") from error


def main(arguments: Sequence[str]) -> int:
    """Fetch the URLs and return Wget's exit status."""
    tries, path, is_quiet = _DEFAULT_TRIES, "", False
    seconds: Optional[float] = _DEFAULT_SECONDS
    try:
        try:
            options, urls = getopt.gnu_getopt(list(arguments), "qn:t:T:O:", _LONG)
        except getopt.GetoptError as error:
            raise _Failure(USAGE, f"{error}\n{_USAGE}") from error
        for option, value in options:
            if option in ("-t", "--tries"):
                tries = _number(option, value, int) or sys.maxsize  # as Wget, for which 0 is no end
            elif option in ("-T", "--timeout"):
                seconds = _number(option, value, float) or None
            elif option in ("-O", "--output-document"):
                path = value
            elif option in ("-q", "--quiet"):
                is_quiet = True
        if not urls:
            raise _Failure(USAGE, f"missing URL\n{_USAGE}")
        for url in urls:
            _save(url, path, tries, seconds)
    except _Failure as failure:
        if not is_quiet or failure.status == USAGE:
            sys.stderr.write(f"wget: {failure}\n")
        return failure.status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
