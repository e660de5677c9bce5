"""Asks a server in the container by HTTP, from inside it: so no port is published, and any Docker will do.

A smoke test runs it there as `python -I -S -c TEXT`; it imports nothing of ours.

In: a request on stdin, JSON: port, method, path, body, media_type, seconds. Out: the answer on stdout, JSON: status
and body; status 0 with the error where there is none.
"""

from __future__ import annotations

import http.client
import json
import sys
from typing import Any, Mapping

# Ray's dashboard fails on a PUT that has none.
_USER_AGENT = "slim-ray-image-smoke-test"


def ask(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a server of this machine answers; no proxy is asked and no redirect is followed."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", request["port"], timeout=request["seconds"]
    )
    body = request["body"]
    headers = {"User-Agent": _USER_AGENT}
    if body is not None:
        headers["Content-Type"] = request["media_type"]
    try:
        connection.request(
            request["method"], request["path"], None if body is None else body.encode(), headers
        )
        response = connection.getresponse()
        return {"status": response.status, "body": response.read().decode("utf-8", "replace")}
    except (OSError, ValueError, http.client.HTTPException) as error:
        return {"status": 0, "body": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()


if __name__ == "__main__":
    json.dump(ask(json.load(sys.stdin)), sys.stdout)
