"""Tests of in_image.wget, run the way the image runs it, against a server on this machine."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from pathlib import Path
from typing import Iterator

import pytest

from slim_ray_image import in_image

PROGRAM = Path(in_image.__file__).parent / "wget.py"
# Options that KubeRay passes: https://github.com/ray-project/kuberay, BaseWgetHealthCommand.
PROBE = ("--tries", "1", "-T", "2", "-q", "-O-")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers like Ray's health endpoints, incorrectly, or not at all."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path == "/babble":
            self.wfile.write(b"no status line\r\n\r\n")
            return
        if self.path == "/silence":
            self.server.is_over.wait(60)  # type: ignore[attr-defined]
            return
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()
        self.wfile.write(b"success")

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


class Server(http.server.ThreadingHTTPServer):
    """A server on a free port of this machine; `asked` has the paths of its requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.is_over = threading.Event()
        self.url = f"http://localhost:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.is_over.set()
        server.shutdown()
        thread.join()


def wget(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-ISB", str(PROGRAM), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def test_probe_prints_the_answer(server: Server) -> None:
    """The probe's own command line writes only the body to stdout."""
    result = wget(*PROBE, f"{server.url}/api/local_raylet_healthz")
    assert (result.returncode, result.stdout, result.stderr) == (0, "success", "")


def test_proxy_is_not_asked_for_this_machine(server: Server) -> None:
    """A proxy from the environment is not used for a request to this machine."""
    proxy = "http://127.0.0.1:9"
    result = wget(*PROBE, f"{server.url}/healthz", http_proxy=proxy, HTTP_PROXY=proxy)
    assert (result.returncode, result.stdout) == (0, "success")


def test_proxy_is_asked_for_another_machine(server: Server) -> None:
    """Requests to other machines use the proxy from the environment, like Wget."""
    result = wget(*PROBE, "http://ray-head.example.com/healthz", http_proxy=server.url)
    assert (result.returncode, result.stdout) == (0, "success")
    assert server.asked == ["http://ray-head.example.com/healthz"]


def test_answer_of_a_broken_server_is_no_success(server: Server) -> None:
    """A status of 500 ends with Wget's exit status 8, whatever the body says."""
    result = wget(*PROBE, f"{server.url}/broken")
    assert (result.returncode, result.stdout, result.stderr) == (8, "", "")
    loud = wget("--tries", "1", "-O-", f"{server.url}/broken")
    assert loud.stderr == f"wget: {server.url}/broken: 500 Internal Server Error\n"


def test_answer_that_is_no_http_is_no_success(server: Server) -> None:
    """An answer that is not HTTP is reported in one line, with exit status 4."""
    result = wget("-t1", "-O-", f"{server.url}/babble")
    assert (result.returncode, result.stderr) == (4, f"wget: {server.url}/babble: no status line\n")


def test_silent_server_is_given_up_after_the_timeout(server: Server) -> None:
    """`-T` limits the wait; the exit status is 4, Wget's for network failures."""
    result = wget("-t1", "--timeout=0.2", "-O-", f"{server.url}/silence")
    assert result.returncode == 4
    assert result.stderr == f"wget: {server.url}/silence: timed out\n"


def test_silent_server_is_asked_as_often_as_tries_say(server: Server) -> None:
    """`--tries` sets the number of attempts."""
    assert wget("--tries=2", "-T0.2", "-q", "-O-", f"{server.url}/silence").returncode == 4
    assert server.asked == ["/silence"] * 2


def test_refused_connection_is_not_tried_again() -> None:
    """A refused connection fails without another try, so a probe knows at once that the server is not up."""
    result = wget("-q", "-O-", "http://127.0.0.1:9/")
    assert result.returncode == 4


def test_answer_is_written_to_a_file(server: Server, tmp_path: Path) -> None:
    """`-O FILE` writes the body to FILE; if its folder is missing, the exit status is 3, like Wget's."""
    assert wget("-q", "-O", str(tmp_path / "answer"), f"{server.url}/x").returncode == 0
    assert (tmp_path / "answer").read_text() == "success"
    assert wget("-q", "-O", str(tmp_path / "none/answer"), f"{server.url}/x").returncode == 3


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--mirror", "http://localhost/"), "option --mirror not recognized"),
        (("-T", "soon", "http://localhost/"), "-T needs a number, not 'soon'"),
        (("-q",), "missing URL"),
    ],
)
def test_what_it_does_not_know_is_refused(arguments: tuple[str, ...], problem: str) -> None:
    """An unsupported option of Wget or a wrong value is reported with the usage, even with `-q`."""
    result = wget(*arguments)
    assert result.returncode == 2
    usage = "usage: wget [-q] [-nv] [-t TRIES] [-T SECONDS] [-O FILE] URL..."
    assert result.stderr == f"wget: {problem}\n{usage}\n"
