"""A server of archives behind TLS, by a certificate that only its own file vouches for; on request, a bad one."""

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
        cut_after: Of each answer, the bytes that come before the connection is closed; None for all.
        is_stalling: Whether it stops there instead, without closing.
        logins: What the Authorization headers of the requests held.
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
        """Say nothing."""


def make_certificate(folder: Path) -> Path:
    """Return a certificate for 127.0.0.1, signed by itself, with its key."""
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
    """Serve `folder` until the end."""
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
