"""Sends an HTTP request to a server in a smoke test's container from inside, so that no port need be published.

A smoke test runs this program in the container as `python -I -S -c TEXT`, so it imports no module of the plugin.

In: an `HttpRequest` on stdin, as JSON. Out: an `HttpAnswer` on stdout, as JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
from typing import NamedTuple, Optional

# Ray's dashboard fails on a PUT without a user agent.
_USER_AGENT = "slim-ray-image-smoke-test"


class HttpRequest(NamedTuple):
    """An HTTP request to a server at 127.0.0.1; the media type is only sent with a body."""

    port: int
    method: str
    path: str
    body: Optional[str]
    media_type: str
    seconds: float


class HttpAnswer(NamedTuple):
    """The answer to an HTTP request; if there is none, the status is 0 and the body is the error."""

    status: int
    body: str


def ask(request: HttpRequest) -> HttpAnswer:
    """Send an HTTP request to a server at 127.0.0.1, without a proxy, and return the answer; follow no redirects."""
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
