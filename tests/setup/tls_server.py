"""A server of archives behind TLS with a self-signed certificate; on request, it cuts or stalls its answers."""

from __future__ import annotations

import base64
import contextlib
import http.server
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Iterator, Optional


class TlsServer(http.server.ThreadingHTTPServer):
    """Answers each GET with the file of that path below `folder`.

    Attributes:
        cut_after: Bytes of each answer that are sent before the connection is closed; None for all.
        is_stalling: Whether the connection stays open after these bytes.
        was_asked: Set when an answer was sent.
        is_closed: Ends the stalling connections when it is set.
        logins: `USER:PASSWORD` of each request with basic authentication.
    """

    daemon_threads = True

    def __init__(self, folder: Path, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.cut_after: Optional[int] = None
        self.is_stalling = False
        self.was_asked = threading.Event()
        self.is_closed = threading.Event()
        self.logins: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: TlsServer

    def do_GET(self) -> None:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            self.server.logins.append(base64.b64decode(value).decode())
        path = self.server.folder / self.path.lstrip("/").replace("%2B", "+")
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cut_after])
        self.wfile.flush()
        self.server.was_asked.set()
        if self.server.is_stalling:
            self.server.is_closed.wait()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def make_certificate(folder: Path) -> Path:
    """Return the path of a self-signed certificate for 127.0.0.1, with its key in the same file."""
    path = folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(path), "-out", str(folder / "public.pem")),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (folder / "public.pem").read_text())
    return path


@contextlib.contextmanager
def serving(folder: Path, certificate: Path) -> Iterator[TlsServer]:
    """Serve `folder` until the end of the context."""
    server = TlsServer(folder, certificate)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.is_closed.set()
        server.shutdown()
        server.server_close()
        thread.join()
