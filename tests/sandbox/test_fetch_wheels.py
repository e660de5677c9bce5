"""Tests of sandbox.wheels.fetch_wheels with a folder and with servers of this machine that fail on purpose."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import os
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest
from conftest import Golden, error_text, make_wheel
from sandbox.servers import CUT, FileServer, Proxy, Server, basic_login, send
from sandbox.stand_in_pants import run_program_below

from slim_ray_image.core.wheels.uv_call import NetworkPlaces
from slim_ray_image.core.wheels.wheels import FetchRequest, FetchResult, LockedWheel
from slim_ray_image.core.wire import from_json
from slim_ray_image.sandbox.report import USER_ERROR
from slim_ray_image.sandbox.wheels.fetch_wheels import main

LOGIN = ("user", "se:cret")


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """Return the content of a wheel of foo 1.0."""
    return make_wheel(tmp_path, "foo", "1.0", files={"foo.py": "x = 1\n"}, requires=[]).read_bytes()


@pytest.fixture
def server(sandbox: Path) -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


def wheel_of(content: bytes, url: str = "", **changes: Any) -> LockedWheel:
    """Return the lock's entry for a wheel with this content."""
    sha256 = hashlib.sha256(content).hexdigest()
    wheel = LockedWheel("foo", "1.0", "foo-1.0-py3-none-any.whl", sha256, None, url)
    return dataclasses.replace(wheel, **changes)


def request_of(
    *wheels: LockedWheel, indexes: Sequence[str] = (), find_links: Sequence[str] = ()
) -> FetchRequest:
    return FetchRequest(wheels, NetworkPlaces(tuple(indexes), tuple(find_links), ""))


def fetch(*wheels: LockedWheel, **places: Sequence[str]) -> FetchResult:
    main(request_of(*wheels, **places))
    return from_json(FetchResult, Path("fetched.json").read_text())


def fetched() -> dict[str, bytes]:
    """Map each file name in `wheels/` to its content."""
    return {path.name: path.read_bytes() for path in Path("wheels").iterdir()}


def cached() -> dict[str, bytes]:
    """Map each file name in the cache to its content."""
    return {path.name: path.read_bytes() for path in Path(".wheels").iterdir()}


def assert_is_fetched(content: bytes) -> None:
    """Assert that the wheel is in `wheels/` and in the cache, and that no partial file is left."""
    assert fetched() == {"foo-1.0-py3-none-any.whl": content}
    assert cached() == {hashlib.sha256(content).hexdigest(): content}


# --- Places of wheels


def test_wheel_is_fetched_from_a_file(sandbox: Path, content: bytes) -> None:
    """A lock may name a file of this machine."""
    (sandbox / "some.whl").write_bytes(content)
    assert fetch(wheel_of(content, f"file://{sandbox}/some.whl")) == FetchResult(())
    assert_is_fetched(content)


def test_wheel_is_fetched_from_its_url(server: FileServer, content: bytes) -> None:
    """The URL in the lock is requested once, and no other URL is."""
    server.files["/files/foo"] = content
    index = server.add_page("/simple/", "foo/")
    assert fetch(wheel_of(content, server.url("/files/foo")), indexes=[index]) == FetchResult(())
    assert_is_fetched(content)
    assert [asked.target for asked in server.asked] == ["/files/foo"]


@pytest.mark.parametrize("url", ["/gone", ""], ids=["dead", "unknown"])
def test_wheel_is_found_by_an_index(server: FileServer, content: bytes, url: str) -> None:
    """If the URL is dead or unknown, the project's page of each index is read."""
    server.files["/files/foo-1.0-py3-none-any.whl"] = content
    server.add_page("/other/foo/", "foo-2.0-py3-none-any.whl")
    server.add_page("/simple/foo/", "../../files/foo-1.0-py3-none-any.whl#sha256=0")
    indexes = [server.url("/none"), server.url("/other/"), server.url("/simple")]
    assert fetch(wheel_of(content, server.url(url) if url else ""), indexes=indexes)
    assert_is_fetched(content)


def test_wheel_is_found_on_a_page_of_links(server: FileServer, content: bytes) -> None:
    """A page of links has files of all projects, and a percent-encoded file name is decoded."""
    name = "foo-1.0+cpu-py3-none-any.whl"
    server.files[f"/links/{name}"] = content
    page = server.add_page("/links/", "bar-1.0-py3-none-any.whl", "foo-1.0%2Bcpu-py3-none-any.whl")
    fetch(wheel_of(content, file=name, version="1.0+cpu"), find_links=[page])
    assert fetched() == {name: content}


def test_wheel_is_found_in_a_folder(sandbox: Path, content: bytes) -> None:
    """A folder can stand for a page of links."""
    (sandbox / "links").mkdir()
    (sandbox / "links/foo-1.0-py3-none-any.whl").write_bytes(content)
    fetch(wheel_of(content), find_links=[str(sandbox / "links")])
    assert_is_fetched(content)


def test_many_wheels_are_fetched_at_once(server: FileServer, content: bytes) -> None:
    """Each of many wheels gets its own content."""
    wheels, expected = [], {}
    for number in range(60):
        file, each = f"d{number}-1.0-py3-none-any.whl", content + str(number).encode()
        server.files[f"/{file}"] = expected[file] = each
        wheels.append(wheel_of(each, server.url(f"/{file}"), name=f"d{number}", file=file))
    assert fetch(*wheels) == FetchResult(())
    assert fetched() == expected
    assert sorted(cached()) == sorted(wheel.sha256 for wheel in wheels)
    assert len(server.asked) == len(wheels)


def test_connections_are_kept(sandbox: Path) -> None:
    """Each thread reuses its connection, even after an error response, since opening one is slow."""
    with FileServer(keeps_alive=True) as server:
        server.files.update({f"/{number}": str(number).encode() for number in range(100)})
        server.faults["/7"] = [503, 503]
        wheels = [
            wheel_of(content, server.url(path), file=f"foo{path[1:]}-1.0-py3-none-any.whl")
            for path, content in server.files.items()
        ]
        assert fetch(*wheels) == FetchResult(())
        assert sorted(fetched().values()) == sorted(server.files.values())
        assert len(server.asked) == 102 and server.connections <= 10


def test_rest_of_a_content_is_not_taken_for_the_next(sandbox: Path) -> None:
    """A connection is not reused if the last response was not read to its end."""
    with FileServer(keeps_alive=True) as server:
        wheel = b"x" * 10
        server.files.update({"/long": b"y" * (5 << 20), "/foo-1.0-py3-none-any.whl": wheel})
        page = server.add_page("/links/", server.url("/foo-1.0-py3-none-any.whl"))
        locked = wheel_of(wheel, server.url("/long"), byte_count=len(wheel))
        assert fetch(locked, find_links=[page]) == FetchResult(())
        assert_is_fetched(wheel)


def test_no_wheels_are_nothing_to_fetch(sandbox: Path) -> None:
    """A request without wheels is valid and has an empty result."""
    assert fetch() == FetchResult(())
    assert fetched() == {}


# --- The cache


def test_wheel_of_the_cache_is_taken_without_a_request(
    server: FileServer, content: bytes, tmp_path: Path
) -> None:
    """A cached wheel is used without a request, whatever its file name and URL in the lock."""
    server.files["/foo"] = content
    fetch(wheel_of(content, server.url("/foo")))
    assert len(server.asked) == 1
    Path("wheels/foo-1.0-py3-none-any.whl").unlink()
    again = wheel_of(content, server.url("/elsewhere"), file="foo-1.0-1-py3-none-any.whl")
    assert fetch(again, indexes=[server.url("/simple")]) == FetchResult(())
    assert fetched() == {"foo-1.0-1-py3-none-any.whl": content}
    assert len(server.asked) == 1


def _flipped(content: bytes) -> bytes:
    return content[:50] + bytes([content[50] ^ 1]) + content[51:]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_flipped, id="a flipped bit"),
        pytest.param(lambda content: content[:-1], id="truncated"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content + b"\0", id="extra bytes"),
    ],
)
def test_changed_wheel_of_the_cache_is_fetched_again(
    server: FileServer, content: bytes, damage: Any
) -> None:
    """A cached file with a wrong hash is replaced and reported, and never used."""
    server.files["/foo"] = content
    sha256 = hashlib.sha256(content).hexdigest()
    Path(".wheels").mkdir()
    Path(".wheels", sha256).write_bytes(damage(content))
    wheel = wheel_of(content, server.url("/foo"))
    assert fetch(wheel) == FetchResult(("foo-1.0-py3-none-any.whl",))
    assert_is_fetched(content)
    assert fetch(wheel) == FetchResult(())
    assert len(server.asked) == 1


def test_changed_wheel_that_cannot_be_fetched_is_an_error(
    server: FileServer, content: bytes
) -> None:
    """A cached file with a wrong hash is not used, even if no server has the wheel."""
    Path(".wheels").mkdir()
    Path(".wheels", hashlib.sha256(content).hexdigest()).write_bytes(_flipped(content))
    text = error_text(lambda: fetch(wheel_of(content, server.url("/foo"))))
    assert text.startswith("1 of the wheels that the lockfile has cannot be fetched.\n")
    assert fetched() == cached() == {}
    assert not Path("fetched.json").exists()


def test_other_files_of_the_cache_are_left_alone(server: FileServer, content: bytes) -> None:
    """Unrelated files of the cache, which all builds share, are neither read nor removed."""
    others = {
        "README": b"mine",
        "0" * 64: b"not what its name says, and not asked for",
        f"{'1' * 64}.2.partial": b"of a build that runs beside this one",
    }
    Path(".wheels").mkdir()
    for name, other in others.items():
        Path(".wheels", name).write_bytes(other)
    server.files["/foo"] = content
    assert fetch(wheel_of(content, server.url("/foo"))) == FetchResult(())
    assert cached() == {**others, hashlib.sha256(content).hexdigest(): content}


def test_what_a_killed_build_left_in_the_cache_goes(server: FileServer, content: bytes) -> None:
    """A partial file that nobody has written to for hours is removed from the cache."""
    left = Path(".wheels", f"{'1' * 64}.2.partial")
    left.parent.mkdir()
    left.write_bytes(b"half a wheel")
    hours_ago = time.time() - 7200
    os.utime(left, (hours_ago, hours_ago))
    server.files["/foo"] = content
    assert fetch(wheel_of(content, server.url("/foo"))) == FetchResult(())
    assert_is_fetched(content)


# --- Faults of servers


def test_other_content_than_the_locked_one_is_an_error(
    server: FileServer, content: bytes, golden: Golden
) -> None:
    """The error names each URL with the hash of its content, and the lock's hash; the content is not kept."""
    server.files["/files/foo"] = b"changed"
    server.files["/simple/foo/foo-1.0-py3-none-any.whl"] = b"changed as well"
    server.add_page("/simple/foo/", "foo-1.0-py3-none-any.whl")
    wheel = wheel_of(b"locked", server.url("/files/foo"))
    error = error_text(lambda: fetch(wheel, indexes=[server.url("/simple")]))
    golden.check(
        "errors/wheels/wheel-of-another-hash.txt", error.replace(server.address, "127.0.0.1:PORT")
    )
    assert fetched() == cached() == {}
    assert not Path("fetched.json").exists()


def test_other_content_is_passed_over_where_another_place_is_right(
    server: FileServer, content: bytes
) -> None:
    """A wrong file at one URL is ignored if another URL has the wheel."""
    server.files["/files/foo"] = b"changed"
    server.files["/links/foo-1.0-py3-none-any.whl"] = content
    page = server.add_page("/links/", "foo-1.0-py3-none-any.whl")
    fetch(wheel_of(content, server.url("/files/foo")), find_links=[page])
    assert_is_fetched(content)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([CUT], id="cut once"),
        pytest.param([CUT, CUT], id="cut twice"),
        pytest.param([503], id="unavailable once"),
        pytest.param([500, 503], id="broken, then unavailable"),
        pytest.param([429], id="too many requests"),
    ],
)
def test_connection_that_fails_is_tried_again(
    server: FileServer, content: bytes, faults: list[int]
) -> None:
    """A download succeeds if a retry succeeds."""
    server.files["/foo"] = content
    server.faults["/foo"] = list(faults)
    assert fetch(wheel_of(content, server.url("/foo"))) == FetchResult(())
    assert_is_fetched(content)
    assert len(server.asked) == len(faults) + 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(CUT, "ended after {half} of {all} bytes", id="cut"),
        pytest.param(503, "answered 503 Service Unavailable", id="unavailable"),
    ],
)
def test_server_that_keeps_failing_is_an_error(
    server: FileServer, content: bytes, fault: int, reason: str
) -> None:
    """After the last retry the error has the reason, and no partial file is left."""
    server.files["/foo"] = content
    server.faults["/foo"] = [fault] * 9
    url = server.url("/foo")
    text = error_text(lambda: fetch(wheel_of(content, url)))
    expected = reason.format(half=len(content) // 2, all=len(content))
    assert f"  * foo-1.0-py3-none-any.whl\n  * {url}: {expected}\n" in text
    assert len(server.asked) == 3
    assert fetched() == cached() == {}


def test_wheel_that_no_place_has_is_an_error(
    server: FileServer, sandbox: Path, content: bytes, golden: Golden
) -> None:
    """The error names each missing wheel and each URL with the reason; the other wheels are fetched."""
    server.files["/foo"] = content
    server.add_page("/simple/bar/", "bar-2.0-py3-none-any.whl")
    wheels = [
        wheel_of(content, server.url("/foo")),
        wheel_of(b"bar", server.url("/bar"), name="bar", file="bar-1.0-py3-none-any.whl"),
        wheel_of(b"baz", name="baz", file="baz-1.0-py3-none-any.whl"),
    ]
    error = error_text(
        lambda: fetch(*wheels, indexes=[server.url("/simple")], find_links=["/no/such/folder"])
    )
    golden.check(
        "errors/wheels/wheels-nowhere.txt", error.replace(server.address, "127.0.0.1:PORT")
    )
    assert [asked.target for asked in server.asked].count("/bar") == 1
    assert fetched() == {"foo-1.0-py3-none-any.whl": content}


def test_wheel_that_is_nowhere_looked_for_is_an_error(sandbox: Path, content: bytes) -> None:
    """A wheel cannot be fetched if Pants has no index and the lock has no URL."""
    text = error_text(lambda: fetch(wheel_of(content)))
    assert text.startswith("1 of the wheels that the lockfile has cannot be fetched.\n")


class Endless(Server):
    """A server that sends content until the client disconnects.

    Attributes:
        sent: Number of bytes sent.
    """

    def __init__(self, start: bytes, length: str) -> None:
        super().__init__()
        self.sent = 0
        self._start, self._length = start, length

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if self._length:
            handler.send_header("Content-Length", self._length)
        handler.end_headers()
        try:
            handler.wfile.write(self._start)
            while self.sent < 1 << 30:
                handler.wfile.write(bytes(1 << 20))
                self.sent += 1 << 20
        except OSError:
            pass


@pytest.mark.parametrize("length", ["", str(1 << 40)], ids=["no length", "a length"])
def test_more_than_the_known_size_is_not_read(sandbox: Path, content: bytes, length: str) -> None:
    """A download stops soon after the wheel's known size; the error says so, and there is no retry."""
    with Endless(content, length) as server:
        url = f"http://{server.address}/foo"
        text = error_text(lambda: fetch(wheel_of(content, url, byte_count=len(content))))
    assert text.startswith("A distribution does not match the lockfile")
    sha256 = hashlib.sha256(content).hexdigest()
    assert f"\n  * {url} has more than {len(content)} bytes, not sha256:{sha256}\n" in text
    assert server.sent < 1 << 27
    assert len(server.asked) == 1
    assert fetched() == cached() == {}


def test_size_that_is_right_is_no_hindrance(server: FileServer, content: bytes) -> None:
    """A wheel of the known size is fetched."""
    server.files["/foo"] = content
    fetch(wheel_of(content, server.url("/foo"), byte_count=len(content)))
    assert_is_fetched(content)


# --- Logins


def test_logins_go_to_the_hosts_that_want_them_alone(sandbox: Path, content: bytes) -> None:
    """The index's login is sent to the index only, not to the host of the files or of a redirect."""
    private, public = FileServer(LOGIN), FileServer()
    with private, public:
        file, other = "foo-1.0-py3-none-any.whl", "bar-1.0-py3-none-any.whl"
        public.files[f"/files/{file}"] = content
        private.add_page("/simple/foo/", public.url(f"/files/{file}"))
        private.files["/files/bar"] = content + b"bar"
        wheels = [
            wheel_of(content),
            wheel_of(content + b"bar", private.url("/files/bar"), name="bar", file=other),
        ]
        index = private.url("/simple/")
        request = request_of(*wheels, indexes=[index])
        credentials = [[index, LOGIN]]
        result = run_program_below("wheels.fetch_wheels", request, {}, credentials)
    assert (result.returncode, result.stderr) == (0, "")
    assert fetched() == {file: content, other: content + b"bar"}
    assert {asked.authorization for asked in private.asked} == {basic_login(*LOGIN)}
    assert [asked.authorization for asked in public.asked] == [None]


class Redirecting(Server):
    """A server that redirects to its files on another host."""

    def __init__(self, elsewhere: str) -> None:
        super().__init__()
        self._elsewhere = elsewhere

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        send(handler, 302, Location=f"http://{self._elsewhere}{handler.path}")


def test_redirect_does_not_take_the_login_along(server: FileServer, content: bytes) -> None:
    """The index's login is not sent to a file host that the index redirects to."""
    server.files["/foo"] = content
    with Redirecting(server.address) as index:
        url = f"http://{index.address}/foo"
        request = request_of(wheel_of(content, url))
        result = run_program_below(
            "wheels.fetch_wheels", request, {}, [[f"http://{index.address}/simple/", LOGIN]]
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert [asked.authorization for asked in index.asked] == [basic_login(*LOGIN)]
    assert [asked.authorization for asked in server.asked] == [None]
    assert_is_fetched(content)


def test_login_that_is_refused_is_told_without_it(sandbox: Path, content: bytes) -> None:
    """The error names the URL that refused the login, and contains no login."""
    with FileServer(LOGIN) as private:
        private.files["/foo"] = content
        request = request_of(wheel_of(content, private.url("/foo")))
        credentials = [[private.url("/simple/"), ["user", "wrong-password"]]]
        result = run_program_below("wheels.fetch_wheels", request, {}, credentials)
    assert result.returncode == USER_ERROR
    assert f"{private.url('/foo')}: answered 401 Unauthorized" in result.stderr
    assert "wrong-password" not in result.stderr + result.stdout
    assert len(private.asked) == 1


def test_wheel_is_fetched_through_the_proxy(server: FileServer, content: bytes) -> None:
    """A host that is reachable only through a proxy is read through it, with the proxy's login."""
    server.files["/foo"] = content
    with Proxy(server.address, basic_login("u", "s")) as proxy:
        request = request_of(wheel_of(content, "http://files.example/foo"))
        environment = {"all_proxy": f"http://u:s@{proxy.address}"}
        result = run_program_below("wheels.fetch_wheels", request, environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert [asked.target for asked in proxy.asked] == ["http://files.example/foo"]
    assert [asked.proxy_authorization for asked in server.asked] == [None]
    assert_is_fetched(content)
