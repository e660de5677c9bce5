"""The network settings that sandboxed programs get as input, and the credentials that they read from Pants' memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Mapping

import pytest
from conftest import PYTHONPATH
from pants.testutil.rule_runner import RuleRunner

from rules.rule_runner import OPTIONS
from slim_ray_image.core.wheels.uv_call import NetworkPlaces
from slim_ray_image.network import _MEMORY_FILE, NetworkSettings
from slim_ray_image.sandbox.tools.host_network import MEMORY_FILE

READ_OFTEN = """\
from slim_ray_image.sandbox.tools.host_network import read_host_network
found = [read_host_network().environment["n"] for _ in range(200)]
assert {len(text) for text in found} == {100_000}
print(*sorted({text[0] for text in found}))
"""
INDEX = "https://index.example.com/simple/"
LINKS = "https://links.example.com/page"


def held_in_memory() -> Mapping[str, Any]:
    """Return the content of this process's memory file; this process stands for Pants."""
    for descriptor in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{descriptor}"
        if os.path.exists(path) and os.readlink(path).startswith(f"/memfd:{MEMORY_FILE} "):
            return json.loads(Path(path).read_bytes())
    raise AssertionError("nothing is held")


def settings(
    rule_runner: RuleRunner, *options: str, env: Mapping[str, str] = {}
) -> NetworkSettings:
    rule_runner.set_options((*OPTIONS, *options), env=env, env_inherit={"PATH"})
    return rule_runner.request(NetworkSettings, [])


def test_login_in_a_url_is_held_apart(rule_runner: RuleRunner) -> None:
    """Programs get the URL without the login as input; the login is only in Pants' memory."""
    found = settings(
        rule_runner,
        "--python-repos-indexes=['https://robot:s3%2Fcret@index.example.com/simple/']",
        f"--python-repos-find-links=['{LINKS}']",
    )
    assert found.places == NetworkPlaces((INDEX,), (LINKS,), "")
    assert held_in_memory()["credentials"] == [[INDEX, ["robot", "s3/cret"]]]


def test_python_without_files_in_memory_holds_logins_too(
    rule_runner: RuleRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A python-build-standalone built with an older glibc lacks `os.memfd_create`, but the login is still stored."""
    monkeypatch.delattr(os, "memfd_create")
    settings(
        rule_runner,
        "--python-repos-indexes=['https://robot:another@index.example.com/simple/']",
    )
    assert held_in_memory()["credentials"] == [[INDEX, ["robot", "another"]]]


def test_login_of_a_netrc_file_is_used(rule_runner: RuleRunner, tmp_path: Path) -> None:
    """The login is looked up by host, as in pip and uv; a login in the URL comes first."""
    file = tmp_path / "netrc"
    file.write_text("machine index.example.com login robot password of-the-file\n")
    file.chmod(0o600)
    settings(
        rule_runner,
        f"--python-repos-indexes=['{INDEX}', 'https://u:p@index.example.com/other/']",
        env={"NETRC": str(file)},
    )
    assert held_in_memory()["credentials"] == [
        ["https://index.example.com/other/", ["u", "p"]],
        [INDEX, ["robot", "of-the-file"]],
    ]


def test_netrc_file_that_is_none_is_a_warning(
    rule_runner: RuleRunner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The build continues without the netrc file, because the index may need no login."""
    file = tmp_path / "netrc"
    file.write_text("what is this\n")
    settings(rule_runner, f"--python-repos-indexes=['{INDEX}']", env={"NETRC": str(file)})
    assert held_in_memory()["credentials"] == []
    assert f"Credentials in {file} are not used" in caplog.text


def test_proxies_are_those_that_pants_passes_on(rule_runner: RuleRunner) -> None:
    """Only network variables of `[subprocess-environment].env_vars` are stored, no other variable of the user."""
    settings(
        rule_runner,
        "--subprocess-environment-env-vars=['https_proxy', 'NO_PROXY', 'EDITOR']",
        env={
            "https_proxy": "http://proxy:1",
            "NO_PROXY": "localhost",
            "EDITOR": "ed",
            "http_proxy": "x",
        },
    )
    assert held_in_memory()["environment"] == {
        "https_proxy": "http://proxy:1",
        "NO_PROXY": "localhost",
    }


def test_certificates_are_an_input_by_their_content(
    rule_runner: RuleRunner, tmp_path: Path
) -> None:
    """Another path with the same certificates gives the same settings, so caches are shared."""
    trees = []
    for name in ("one.pem", "other.pem"):
        (tmp_path / name).write_text("certificates")
        found = settings(rule_runner, f"--ca-certs-path={tmp_path / name}")
        assert found.places.certificates == "certificates.pem"
        trees.append(found.tree)
    assert trees[0] == trees[1]


def test_what_is_held_is_never_there_in_part() -> None:
    """A program that reads while the next build writes gets either the old or the new content."""
    file, ended = _MEMORY_FILE, threading.Event()
    texts = [json.dumps({"credentials": [], "environment": {"n": c * 100_000}}) for c in "ab"]
    file.write(texts[0].encode())

    def write() -> None:
        while not ended.is_set():
            for text in texts:
                file.write(text.encode())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        result = subprocess.run(
            [sys.executable, "-c", READ_OFTEN],
            env={"PYTHONPATH": PYTHONPATH},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    finally:
        ended.set()
        writer.join()
    assert result.stdout == "a b\n"
