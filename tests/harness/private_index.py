"""A package index like those of companies: TLS by a private certificate authority, and a login.

The index serves a folder of wheels on this machine, by the simple repository API and by one page of links.
Specification: https://packaging.python.org/en/latest/specifications/simple-repository-api/.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import secrets
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

USER = "ci-robot"


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> Path:
    """Create a certificate authority and its certificate for 127.0.0.1, and return the path of the authority's own."""
    _openssl(
        folder,
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Private CA"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-keyout", "ca.key", "-out", "ca.pem"),
    )
    _openssl(
        folder,
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"),
        *("-keyout", "server.key", "-out", "server.csr"),
    )
    (folder / "server.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl(
        folder,
        *(
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
        ),
        *("-days", "2", "-extfile", "server.ext", "-out", "server.pem"),
    )
    return folder / "ca.pem"


def _page(paths: list[Path]) -> bytes:
    links = "".join(
        f'<a href="/files/{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a>\n'
        for path in paths
    )
    return f"<!DOCTYPE html><html><body>\n{links}</body></html>".encode()


class PrivateIndex:
    """The running server.

    Attributes:
        token: Password of USER, new for each server.
        served: Paths that were requested with the token, in order.
        refused: Number of requests without the token.
    """

    def __init__(self, wheels: Path, certificates: Path) -> None:
        self.token = f"t0ken/{secrets.token_hex(12)}"  # URLs must escape the slash.
        self.served: list[str] = []
        self.refused = 0
        index, wanted = self, base64.b64encode(f"{USER}:{self.token}".encode()).decode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers.get("Authorization") != f"Basic {wanted}":
                    index.refused += 1
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="private"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = index._content(wheels, unquote(self.path))
                self.send_response(404 if content is None else 200)
                self.send_header(
                    "Content-Type", "text/html" if self.path[-1] == "/" else "application/zip"
                )
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content or b"")

            do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _content(self, wheels: Path, path: str) -> bytes | None:
        self.served.append(path)
        if path == "/links/":
            return _page(sorted(wheels.glob("acme_links*")))
        project = re.fullmatch(r"/simple/([^/]+)/", path)
        if project:
            name = project[1].replace("-", "_")
            found = sorted(wheels.glob(f"{name}-*"))
            return _page(found) if found and name != "acme_links" else None
        file = wheels / path.rpartition("/")[2]
        return file.read_bytes() if path.startswith("/files/") and file.is_file() else None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
