"""Tests of sandbox.smoke.ask_http."""

from __future__ import annotations

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Iterator, Optional

import pytest

from slim_ray_image.sandbox.smoke import ask_http


class Handler(BaseHTTPRequestHandler):
    """Answers with the request itself; fails without a user agent, like Ray's dashboard."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        parts = [self.command, self.path, self.headers.get("Content-Type", "-"), body]
        self.send_response(200 if self.headers.get("User-Agent") else 500)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write("|".join(parts).encode())

    do_GET = do_PUT = answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def ask(port: int, method: str, path: str, body: Optional[str] = None) -> Any:
    """Return the answer, from the program's source alone, the way the smoke test runs it."""
    request = ask_http.HttpRequest(port, method, path, body, "text/x-fox", 5)
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", Path(str(ask_http.__file__)).read_text()],
        input=json.dumps(request._asdict()),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def test_request_arrives_and_its_answer_returns(port: int) -> None:
    """A request has method, path, body and media type; without a body, it has no media type."""
    assert ask(port, "GET", "/a?b=c") == {"status": 200, "body": "GET|/a?b=c|-|"}
    assert ask(port, "PUT", "/", "A föx") == {"status": 200, "body": "PUT|/|text/x-fox|A föx"}


def test_no_server_is_an_answer_too(port: int) -> None:
    """If nothing listens on the port, the status is 0 and the body is the reason."""
    answer = ask(1, "GET", "/")
    assert answer["status"] == 0
    assert answer["body"].startswith("ConnectionRefusedError: ")
