"""HTTP servers on this machine: a file server, a registry with tokens, a forwarding server and a proxy.

Each server records the requests that it receives. Specifications:
https://distribution.github.io/distribution/spec/auth/token/ and https://datatracker.ietf.org/doc/html/rfc9110
("CONNECT", "Proxy-Authorization").
"""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import secrets
import select
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import unquote, urlsplit

_NOT_PASSED_ON = frozenset(
    ("authorization", "connection", "host", "proxy-authorization", "proxy-connection")
)


@dataclass(frozen=True)
class Asked:
    """A received request; None stands for a header that the client did not send."""

    method: str
    target: str
    authorization: Optional[str]
    proxy_authorization: Optional[str]


@dataclass(frozen=True)
class Certificates:
    """A test certificate authority, and a certificate that it signed, with the key."""

    authority: Path
    server: Path
    key: Path


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path, *names: str) -> Certificates:
    """Create a new folder with an authority and a certificate for 127.0.0.1 and `names`."""
    folder.mkdir()
    _openssl(
        folder,
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Our CA"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"),
        *("-keyout", "ca.key", "-out", "ca.pem"),
    )
    _openssl(
        folder,
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server"),
        *("-keyout", "server.key", "-out", "server.csr"),
    )
    alternatives = ["IP:127.0.0.1", *(f"DNS:{name}" for name in names)]
    (folder / "server.ext").write_text(
        f"subjectAltName={','.join(alternatives)}\nauthorityKeyIdentifier=keyid\n"
    )
    _openssl(
        folder,
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", "server.ext", "-out", "server.pem"),
    )
    return Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")


class Server:
    """A server on a free port of 127.0.0.1, while the `with` block runs.

    Attributes:
        asked: Every request, in the order of arrival.
        connections: Number of connections that clients opened.
    """

    def __init__(
        self, certificates: Optional[Certificates] = None, *, keeps_alive: bool = False
    ) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1" if keeps_alive else "HTTP/1.0"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def do_GET(self) -> None:
                authorization = self.headers.get("Authorization")
                proxy_authorization = self.headers.get("Proxy-Authorization")
                server.asked.append(
                    Asked(self.command, self.path, authorization, proxy_authorization)
                )
                server.answer(self)

            do_CONNECT = do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.server, certificates.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def send(
    handler: http.server.BaseHTTPRequestHandler, status: int, content: bytes = b"", **headers: str
) -> None:
    """Send a response; `_` in the name of a header stands for `-`."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)


def basic_login(user: str, password: str) -> str:
    """Return the value of the `Authorization` header for a user and password."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def pass_on(handler: http.server.BaseHTTPRequestHandler, upstream: str, path: str) -> None:
    """Forward the request to `upstream`, a host and port, over plain HTTP, and send its response to the client."""
    kept = {k: v for k, v in handler.headers.items() if k.lower() not in _NOT_PASSED_ON}
    connection = http.client.HTTPConnection(upstream, timeout=30)
    connection.request(handler.command, path, headers=kept)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    headers = {name: response.getheader(name, "") for name in ("Content-Type", "Location")}
    send(handler, response.status, content, **{k: v for k, v in headers.items() if v})


def _media_type(path: str, content: bytes) -> str:
    """Return the Content-Type that installers expect for a file, for a page of links and for a JSON page (PEP 691)."""
    if not path.endswith("/"):
        return "application/octet-stream"
    return "application/vnd.pypi.simple.v1+json" if content.startswith(b"{") else "text/html"


# An entry of `FileServer.faults`: close the connection in the middle of the content.
CUT = 0


class FileServer(Server):
    """A server of files and of pages that link to them. If it has a login, it rejects requests without this login.

    Attributes:
        files: Path -> content. A path that ends with a slash is a page, in HTML or in JSON.
        faults: Path -> faults of the next requests for it, in this order: an HTTP status, or CUT.
    """

    def __init__(
        self, login: Optional[tuple[str, str]] = None, *, keeps_alive: bool = False
    ) -> None:
        super().__init__(keeps_alive=keeps_alive)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[int]] = {}
        self._login = basic_login(*login) if login else None

    def add_page(self, path: str, *links: str) -> str:
        """Add a page of links, and return its URL."""
        self.files[path] = "".join(f'<a href="{link}">{link}</a>\n' for link in links).encode()
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        content, faults = self.files.get(path), self.faults.get(path)
        if self._login and handler.headers.get("Authorization") != self._login:
            send(handler, 401, WWW_Authenticate='Basic realm="files"')
        elif content is None:
            send(handler, 404)
        elif faults:
            self._fail(handler, faults.pop(0), content)
        else:
            send(handler, 200, content, Content_Type=_media_type(path, content))

    def _fail(
        self, handler: http.server.BaseHTTPRequestHandler, fault: int, content: bytes
    ) -> None:
        if fault != CUT:
            send(handler, fault)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True


class TokenRegistry(Server):
    """A registry that, like Docker Hub, gives a token to everyone and serves nothing without a token.

    The registry rejects a request with a login other than the token, and a request for a token with any login.

    Attributes:
        name: Host that the registry names as its token server; by default its own address.
        storage: Host to which the registry redirects requests for blobs; by default it sends blobs itself.
    """

    def __init__(self, upstream: str, certificates: Certificates) -> None:
        super().__init__(certificates)
        self.name, self.token = self.address, secrets.token_hex(16)
        self.storage: Optional[str] = None
        self._upstream = upstream

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        authorization = handler.headers.get("Authorization")
        if handler.path.startswith("/token?"):
            status = 401 if authorization else 200
            send(handler, status, json.dumps({"token": self.token}).encode())
        elif authorization != f"Bearer {self.token}":
            challenge = (
                f'Bearer realm="https://{self.name}/token",service="test",scope="repository:x:pull"'
            )
            send(handler, 401, WWW_Authenticate=challenge)
        elif self.storage and "/blobs/" in handler.path:
            send(handler, 307, Location=f"http://{self.storage}{handler.path}")
        else:
            pass_on(handler, self._upstream, handler.path)


class Front(Server):
    """A server that forwards every request to another, over TLS if it has certificates."""

    def __init__(self, upstream: str, certificates: Optional[Certificates] = None) -> None:
        super().__init__(certificates)
        self._upstream = upstream

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        pass_on(handler, self._upstream, handler.path)


class Proxy(Server):
    """A proxy that connects to one server for any host name, so that names resolve only through the proxy."""

    def __init__(
        self, upstream: str, login: Optional[str] = None, name: Optional[str] = None
    ) -> None:
        """Start the proxy.

        Args:
            login: Value of `Proxy-Authorization` that the proxy requires.
            name: Host for which the proxy connects to `upstream`; None for every host.
        """
        super().__init__()
        self._login, self._upstream, self._name = login, upstream, name

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if self._login and handler.headers.get("Proxy-Authorization") != self._login:
            send(handler, 407, Proxy_Authenticate='Basic realm="proxy"')
        elif handler.command == "CONNECT":
            self._tunnel(handler)
        else:
            parts = urlsplit(handler.path)
            pass_on(handler, self._upstream, parts._replace(scheme="", netloc="").geturl())

    def _tunnel(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        is_other = self._name and handler.path.rpartition(":")[0] != self._name
        host, _, port = (handler.path if is_other else self._upstream).rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as upstream:
            handler.send_response(200)
            handler.end_headers()
            ends = [handler.connection, upstream]
            while True:
                readable, _, _ = select.select(ends, [], [], 30)
                for end in readable or [handler.connection]:
                    content = end.recv(1 << 16) if readable else b""
                    if not content:
                        handler.close_connection = True
                        return
                    ends[1 - ends.index(end)].sendall(content)
