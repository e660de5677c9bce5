"""Tests of sandbox.tools.install_tools: the real program and the real uv, with distributions made here."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest
import uv
from conftest import make_wheel
from sandbox.servers import FileServer, Proxy, basic_login
from sandbox.stand_in_pants import run_program_below

from slim_ray_image.core.wheels.tools_request import InstallToolsRequest
from slim_ray_image.core.wheels.uv_call import UV_CACHE, NetworkPlaces, UvCall
from slim_ray_image.sandbox.report import USER_ERROR

# A build backend in place of setuptools. It records the distributions that it can import in the module that it builds.
BACKEND = """\
import importlib.metadata, os, zipfile

class __legacy__:
    def get_requires_for_build_wheel(config_settings=None):
        return []

    def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
        seen = sorted(d.metadata["Name"] for d in importlib.metadata.distributions())
        files = {
            "sourced.py": f"BUILT_BY, SEEN = 'locked', {seen!r}\\n",
            "sourced-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: sourced\\nVersion: 1.0\\n",
            "sourced-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        }
        name = "sourced-1.0-py3-none-any.whl"
        with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
            record = "".join(f"{path},,\\n" for path in files)
            archive.writestr("sourced-1.0.dist-info/RECORD", record + "sourced-1.0.dist-info/RECORD,,\\n")
        return name
"""
POISON = "open({mark!r}, 'w').close()\n"


def _sdist(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """Write a source distribution, version 1.0."""
    path = folder / f"{name}-1.0.tar.gz"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in {"PKG-INFO": metadata, **files}.items():
            info = tarfile.TarInfo(f"{name}-1.0/{file}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def _pin(path: Path, name: str) -> str:
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Page:
    """A folder that a server of this machine lists as a page of links.

    Attributes:
        served: Names of the requested files.
        mark: A file that is written if code of an unlocked distribution runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark, self.served = folder / "page", folder / "mark", set[str]()
        self.folder.mkdir()
        page = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                page.served.add(self.path.rpartition("/")[2])

        handler = functools.partial(Handler, directory=str(self.folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def page(sandbox: Path, tmp_path: Path) -> Iterator[Page]:
    """Serve the locked files, and newer unlocked ones whose code must not run."""
    found = Page(tmp_path)
    files = {"tool.py": "", "setuptools/__init__.py": "", "setuptools/build_meta.py": BACKEND}
    tool = make_wheel(
        found.folder, "tool", "1.0", files={"tool.py": "import sourced\n"}, requires=["sourced"]
    )
    setuptools = make_wheel(found.folder, "setuptools", "1.0", files=files, requires=[])
    sourced = _sdist(found.folder, "sourced", {"setup.py": ""})
    Path("tools.lock").write_text(_pin(tool, "tool"))
    Path("build.lock").write_text(_pin(setuptools, "setuptools"))
    Path("sources.lock").write_text(_pin(sourced, "sourced"))
    poison = POISON.format(mark=str(found.mark))
    for name in ("setuptools", "wheel", "tool", "sourced"):
        code = {f"{name}/__init__.py": poison, f"{name}/build_meta.py": poison + BACKEND}
        make_wheel(found.folder, name, "999.0", files=code, requires=[])
    yield found
    found.close()


def request_of(*pages: str, uv_path: str = "") -> InstallToolsRequest:
    """Return a request as the rules write it; `pages` are hosts and ports, each a page of links."""
    places = NetworkPlaces((), tuple(f"http://{page}/" for page in pages), "")
    return InstallToolsRequest(
        lockfile="tools.lock",
        source_lockfile="sources.lock",
        build_lockfile="build.lock",
        python_version=None,
        uv=UvCall(uv_path or uv.find_uv_bin(), places),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_fetched_is_what_is_locked(page: Page) -> None:
    """If a page has newer files of every name, only the locked files are requested, and no other code runs."""
    result = run_program_below("tools.install_tools", request_of(page.address), {})
    assert (result.returncode, result.stderr) == (0, "")
    assert {path.name for path in Path("tools").glob("*.py")} == {"sourced.py", "tool.py"}
    files = {name for name in page.served if name.endswith((".whl", ".gz"))}
    assert files == {
        "setuptools-1.0-py3-none-any.whl",
        "sourced-1.0.tar.gz",
        "tool-1.0-py3-none-any.whl",
    }
    assert not page.mark.exists()


def test_builds_see_the_locked_build_requirements_alone(page: Page) -> None:
    """A build can import neither newer distributions of an index nor those of this Python, such as pytest."""
    run_program_below("tools.install_tools", request_of(page.address), {})
    text = Path("tools/sourced.py").read_text()
    assert text == "BUILT_BY, SEEN = 'locked', ['setuptools']\n"


def test_tools_do_not_tell_where_they_were_made(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tools that are installed in another folder have equal bytes, so that caches are shared."""
    found = []
    locks = [path.resolve() for path in Path().glob("*.lock")]
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        for lock in locks:
            (folder / lock.name).write_bytes(lock.read_bytes())
        monkeypatch.chdir(folder)
        result = run_program_below("tools.install_tools", request_of(page.address), {})
        assert result.returncode == 0
        found.append(contents(folder / "tools"))
    assert found[0] == found[1]


@pytest.mark.parametrize("lock", ["tools.lock", "build.lock", "sources.lock"])
def test_file_that_is_not_the_locked_one_is_an_error(page: Page, lock: str) -> None:
    """A file with another hash than the lock's is not installed, built or run."""
    text = Path(lock).read_text()
    Path(lock).write_text(f"{text.partition('sha256:')[0]}sha256:{'0' * 64}\n")
    result = run_program_below("tools.install_tools", request_of(page.address), {})
    assert result.returncode == USER_ERROR
    first, *rest = result.stderr.splitlines()
    assert first == f"Cannot install the tools of slim_ray_image that {lock} names."
    assert "Hash mismatch" in result.stderr


def test_tools_are_fetched_through_the_proxy(page: Page) -> None:
    """The proxy that uv uses is the same as for the plugin's own clients, whatever variable names it."""
    with Proxy(page.address, login="Basic dTpz") as proxy:
        result = run_program_below(
            "tools.install_tools",
            request_of("links.example"),
            {"http_proxy": "", "ALL_PROXY": f"u:s@{proxy.address}"},
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert "sourced-1.0.tar.gz" in page.served


def test_tools_of_this_machine_are_fetched_directly(page: Page) -> None:
    """Like the plugin's own clients, uv uses no proxy for this machine."""
    with Proxy(page.address) as proxy:
        environment = {"http_proxy": f"http://{proxy.address}"}
        result = run_program_below("tools.install_tools", request_of(page.address), environment)
    assert (result.returncode, proxy.asked) == (0, [])


def test_pages_with_a_login_reach_uv(page: Page) -> None:
    """The page that needs a login gets it from uv, other pages get none; no argument contains the login."""
    login = ("user", "p:a,ssw0rd")
    log, wrapper = Path("arguments").absolute(), Path("logging-uv")
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {uv.find_uv_bin()} "$@"\n')
    wrapper.chmod(0o755)
    with FileServer(login) as private:
        moved = page.folder / "sourced-1.0.tar.gz"
        private.files[f"/{moved.name}"] = moved.read_bytes()
        url = private.add_page("/", moved.name)
        moved.unlink()
        result = run_program_below(
            "tools.install_tools",
            request_of(page.address, private.address, uv_path=str(wrapper)),
            {},
            [[url, login]],
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert {path.name for path in Path("tools").glob("*.py")} == {"sourced.py", "tool.py"}
    assert basic_login(*login) in {asked.authorization for asked in private.asked}
    arguments = log.read_text()
    assert "--require-hashes" in arguments
    assert "ssw0rd" not in arguments
    assert "--find-links" not in arguments


def test_login_goes_to_its_own_page_alone(page: Page) -> None:
    """The login of one page is not sent to another page."""
    login = ("user", "secret")
    with FileServer(login) as private, FileServer() as public:
        for path in page.folder.iterdir():
            public.files[f"/{path.name}"] = path.read_bytes()
        public.add_page("/", *(path.name for path in page.folder.iterdir()))
        url = private.add_page("/", "tool-2.0-py3-none-any.whl")
        result = run_program_below(
            "tools.install_tools", request_of(public.address, private.address), {}, [[url, login]]
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert len(public.asked) > 3
    assert {asked.authorization for asked in public.asked} == {None}
    assert basic_login(*login) in {asked.authorization for asked in private.asked}


def test_tools_do_not_come_out_of_a_cache(page: Page) -> None:
    """A changed file in uv's cache is not installed: files are fetched and checked each time."""
    uv_install = [
        *(uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--no-index"),
        *("--find-links", f"http://{page.address}/", "--require-hashes", "-r", "tools.lock"),
        *("--cache-dir", UV_CACHE, "--link-mode", "copy", "--python", sys.executable, "--target"),
    ]
    subprocess.run([*uv_install, "filling"], check=True)
    cached = [path for path in Path(UV_CACHE).rglob("tool.py") if path.is_file()]
    assert cached
    for path in cached:
        path.write_text("poisoned = True\n")
    subprocess.run([*uv_install, "poisoned"], check=True)
    assert Path("poisoned/tool.py").read_text() == "poisoned = True\n"
    before = contents(Path(UV_CACHE))
    result = run_program_below("tools.install_tools", request_of(page.address), {})
    assert (result.returncode, result.stderr) == (0, "")
    assert Path("tools/tool.py").read_text() == "import sourced\n"
    assert contents(Path(UV_CACHE)) == before
