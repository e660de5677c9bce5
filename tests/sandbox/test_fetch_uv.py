"""Tests of sandbox.tools.fetch_uv with a folder and with a page on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import platform
import re
import threading
import zipfile
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest
from conftest import Golden, error_text
from needs import needs
from sandbox.servers import Front, Proxy, Server, make_certificates, send
from sandbox.stand_in_pants import run_program_below

from slim_ray_image.core.wheels.uv_call import FetchUvRequest, NetworkPlaces
from slim_ray_image.sandbox.tools.fetch_uv import main, wheel_pattern

NAMES = {
    "x86_64": f"uv-1.2.3-py3-none-manylinux_2_17_{platform.machine()}.manylinux2014_{platform.machine()}.whl",
    "musl": f"uv-1.2.3-py3-none-musllinux_1_1_{platform.machine()}.whl",
}


def write_wheel(path: Path, content: bytes = b"#!/bin/sh\necho uv\n") -> str:
    """Write a wheel of uv and return its SHA-256."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("uv-1.2.3.data/scripts/uv", content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def request_of(
    lock_hashes: Sequence[str], *indexes: str, find_links: str = "", certificates: str = ""
) -> FetchUvRequest:
    hashes = "".join(f" \\\n    --hash=sha256:{value}" for value in lock_hashes)
    Path("uv.lock").write_text(f"uv==1.2.3{hashes}\n")
    places = NetworkPlaces(indexes, (find_links,) if find_links else (), certificates)
    return FetchUvRequest("uv.lock", places)


def fetch(lock_hashes: Sequence[str], *indexes: str, find_links: str = "") -> None:
    main(request_of(lock_hashes, *indexes, find_links=find_links))


@pytest.fixture
def index(sandbox: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder as an index's page of uv, and return the folder and the page's URL."""
    folder = sandbox / "index/uv"
    folder.mkdir(parents=True)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(sandbox / "index"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_uv_is_the_wheel_of_this_machine(sandbox: Path) -> None:
    """If a folder has several wheels, the executable comes from the wheel for this system's C library."""
    hashes = [
        write_wheel(sandbox / NAMES["musl"], b"musl"),
        write_wheel(sandbox / NAMES["x86_64"], b"glibc"),
    ]
    fetch(hashes, find_links=".")
    assert Path("uv").read_bytes() == b"glibc"
    assert os.access("uv", os.X_OK)


def test_uv_is_fetched_from_an_index(index: tuple[Path, str]) -> None:
    """The wheel of uv is fetched from a link on the project's page."""
    folder, url = index
    fetch([write_wheel(folder / NAMES["x86_64"])], url)
    assert Path("uv").read_bytes() == b"#!/bin/sh\necho uv\n"


def test_wheel_that_the_lock_does_not_know_is_not_taken(
    index: tuple[Path, str], golden: Golden
) -> None:
    """A file of the right name with another hash is ignored."""
    folder, url = index
    write_wheel(folder / NAMES["x86_64"])
    error = error_text(lambda: fetch(["0" * 64], url))
    golden.check("errors/tools/uv-not-on-index.txt", re.sub(r":\d+/", ":PORT/", error))
    assert not Path("uv").exists()


def test_index_that_does_not_answer_is_an_error(sandbox: Path, golden: Golden) -> None:
    """The error names each index and page of links with its problem."""
    index, folder = "http://127.0.0.1:9/simple/", "/no/such/folder"
    text = error_text(lambda: fetch(["0" * 64], index, find_links=folder))
    golden.check("errors/tools/index-does-not-answer.txt", text)


def test_no_place_to_look_at_is_an_error(sandbox: Path) -> None:
    """The error says that Pants has no index and no page of links."""
    error = error_text(lambda: fetch(["0" * 64]))
    assert "`[python-repos]` names no index and no page of links" in error


class Redirecting(Server):
    """An index that redirects to its files on another host."""

    def __init__(self, elsewhere: str) -> None:
        super().__init__()
        self._elsewhere = elsewhere

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        send(handler, 302, Location=f"http://{self._elsewhere}{handler.path}")


@needs("openssl")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_uv_is_fetched_through_the_proxy(index: tuple[Path, str], scheme: str) -> None:
    """An index that is reachable only through a proxy is read through it, and only the proxy receives its login.

    The index's files are on this machine, which is contacted directly.
    """
    folder, url = index
    certificates = make_certificates(Path("certificates"), "index.example")
    request = request_of(
        [write_wheel(folder / NAMES["x86_64"])],
        f"{scheme}://index.example/",
        certificates=str(certificates.authority) if scheme == "https" else "",
    )
    files, login = Front(url.partition("//")[2]), "Basic dTpz"
    plain = Redirecting(files.address)
    encrypted = Front(plain.address, certificates)
    proxy = Proxy({"http": plain, "https": encrypted}[scheme].address, login)
    with files, plain, encrypted, proxy:
        environment = {"ALL_PROXY": f"http://u:s@{proxy.address}"}
        result = run_program_below("tools.fetch_uv", request, environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert Path("uv").read_bytes() == b"#!/bin/sh\necho uv\n"
    assert {asked.method for asked in proxy.asked} == {"GET" if scheme == "http" else "CONNECT"}
    assert [asked.proxy_authorization for asked in files.asked] == [None, None]


@pytest.mark.parametrize(
    ("name", "system", "machine", "has_glibc"),
    [
        pytest.param(
            "uv-1-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            *("Linux", "x86_64", True),
            id="glibc",
        ),
        pytest.param(
            "uv-1-py3-none-musllinux_1_1_aarch64.whl", "Linux", "aarch64", False, id="musl"
        ),
        pytest.param("uv-1-py3-none-macosx_11_0_arm64.whl", "Darwin", "arm64", True, id="macOS"),
    ],
)
def test_wheel_of_each_system_is_known(
    name: str, system: str, machine: str, has_glibc: bool
) -> None:
    """The pattern of each system matches the names of uv's wheels for this system only."""
    systems = {("Linux", "x86_64", True), ("Linux", "aarch64", False), ("Darwin", "arm64", True)}
    fitting = {each for each in systems if re.search(f"{wheel_pattern(*each)}$", name)}
    assert fitting == {(system, machine, has_glibc)}
