"""Asks a server in the container by HTTP, from inside it: so no port is published, and any Docker will do.

A smoke test runs it there as `python -I -S -c TEXT`; it imports nothing of ours.

In: an `HttpRequest` on stdin, as JSON. Out: an `HttpAnswer` on stdout, as JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
from typing import NamedTuple, Optional

# Ray's dashboard fails on a PUT that has none.
_USER_AGENT = "slim-ray-image-smoke-test"


class HttpRequest(NamedTuple):
    """A request to a server of this machine; without a body, the media type is not sent."""

    port: int
    method: str
    path: str
    body: Optional[str]
    media_type: str
    seconds: float


class HttpAnswer(NamedTuple):
    """An answer; status 0 where there is none, with the error in place of the body."""

    status: int
    body: str


def ask(request: HttpRequest) -> HttpAnswer:
    """Return what a server of this machine answers; no proxy is asked and no redirect is followed."""
    connection = http.client.HTTPConnection("127.0.0.1", request.port, timeout=request.seconds)
    body = None if request.body is None else request.body.encode()
    headers = {"User-Agent": _USER_AGENT}
    if body is not None:
        headers["Content-Type"] = request.media_type
    try:
        connection.request(request.method, request.path, body, headers)
        response = connection.getresponse()
        return HttpAnswer(response.status, response.read().decode("utf-8", "replace"))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return HttpAnswer(0, f"{type(error).__name__}: {error}")
    finally:
        connection.close()


if __name__ == "__main__":
    json.dump(ask(HttpRequest(**json.load(sys.stdin)))._asdict(), sys.stdout)
