"""Tests of sandbox.smoke.smoke_container: which containers it removes, and how.

A fake `docker` answers from a list of containers; tests/servers uses a real Docker.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.smoke.smoke_container import LABEL, _remove_expired, smoke_container

OURS, STRANGER = "a" * 64, "b" * 64
NAME = "slim-ray-image-smoke-test-" + "0" * 32
# A fake Docker: `ps` by name, `inspect`, `run`, which adds a container if started.json exists, and `rm`.
_DOCKER = """\
#!/usr/bin/env python3
import json, os, re, sys
folder = os.path.dirname(os.path.abspath(__file__))
containers = json.load(open(f"{folder}/containers.json"))
arguments = sys.argv[1:]
with open(f"{folder}/calls", "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
if arguments[0] == "ps":
    assert arguments[arguments.index("--format") + 1] == "{{json .ID}}"
    kind, _, text = arguments[arguments.index("--filter") + 1].partition("=")
    for found in containers:
        if kind == "name" and re.search(text, found["Name"]):
            print(json.dumps(found["Id"]))
elif arguments[:2] == ["container", "inspect"]:
    asked = arguments[2:]
    found = [c for c in containers if c["Id"] in asked or c["Name"].lstrip("/") in asked]
    print(json.dumps(found))
    sys.exit(0 if len(found) == len(asked) else 1)
elif arguments[0] == "run":
    print("WARNING: this is no id")
    if os.path.exists(f"{folder}/started.json"):
        started = json.load(open(f"{folder}/started.json"))
        started["Name"] = "/" + arguments[arguments.index("--name") + 1]
        json.dump([started], open(f"{folder}/containers.json", "w"))
elif arguments[0] == "rm":
    print(arguments[-1])
"""


def container(identity: str, name: str, **labels: Any) -> dict[str, Any]:
    return {
        "Id": identity,
        "Name": f"/{name}",
        "Config": {"Labels": {LABEL: "src/app:image", **labels}},
        "State": {"Running": True, "ExitCode": 0, "OOMKilled": False},
    }


def until(seconds: float) -> dict[str, str]:
    """Return the label of a test whose time is over in `seconds`."""
    return {f"{LABEL}.until": str(int(time.time() + seconds))}


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a fake Docker first on PATH, and return its folder."""
    program = tmp_path / "docker"
    program.write_text(_DOCKER)
    program.chmod(0o755)
    (tmp_path / "containers.json").write_text("[]")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def calls(docker: Path, command: str) -> list[list[str]]:
    """Return the calls of a command so far."""
    found = map(json.loads, (docker / "calls").read_text().splitlines())
    return [call for call in found if call[0] == command]


def removed(docker: Path, *containers: dict[str, Any]) -> list[str]:
    (docker / "containers.json").write_text(json.dumps(containers))
    _remove_expired()
    return [call[-1] for call in calls(docker, "rm")]


def test_container_that_its_host_left_behind_is_removed(docker: Path) -> None:
    """A container whose test is long over is removed by its id, with its volumes; another container stays."""
    left = container(OURS, NAME, **until(-7200))
    assert removed(docker, container(STRANGER, "db"), left) == [OURS]
    assert calls(docker, "rm") == [["rm", "--force", "--volumes", OURS]]


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(container(STRANGER, "db", **{f"{LABEL}.until": "1"}), id="label"),
        pytest.param(container(STRANGER, f"{NAME}-db", **until(-7200)), id="name behind"),
        pytest.param(container(STRANGER, f"my-{NAME}", **until(-7200)), id="name before"),
        pytest.param(container(STRANGER, NAME[:-1], **until(-7200)), id="short name"),
        pytest.param(container(STRANGER, NAME), id="no time"),
        pytest.param(container(STRANGER, NAME, **{f"{LABEL}.until": "soon"}), id="no number"),
        pytest.param(container(STRANGER, NAME, **{f"{LABEL}.until": "\u0663"}), id="digit"),
        pytest.param(container(STRANGER, NAME, **{f"{LABEL}.until": "1\n2"}), id="lines"),
    ],
)
def test_container_of_somebody_else_stays(docker: Path, stranger: dict[str, Any]) -> None:
    """A container that no smoke test made stays, whatever its labels and its name."""
    assert removed(docker, stranger) == []


def test_label_cannot_name_another_container(docker: Path) -> None:
    """Line breaks in a label cannot make another container look expired."""
    for name in ("some-name", NAME):
        hostile = {f"{LABEL}.until": f"soon\n{STRANGER} 1\nproduction-db 1"}
        bait = container(OURS, name, **hostile)
        assert removed(docker, bait, container(STRANGER, "production-db")) == []


def test_each_container_is_judged_by_itself(docker: Path) -> None:
    """One call inspects all containers; only containers of expired tests are removed."""
    over, going = until(-7200), until(300)
    names = [f"slim-ray-image-smoke-test-{digit * 32}" for digit in "123"]
    found = [container(d * 64, name, **over) for d, name in zip("12", names)]
    assert removed(docker, *found, container("3" * 64, names[2], **going)) == ["1" * 64, "2" * 64]
    assert [call[2:] for call in calls(docker, "container")] == [["1" * 64, "2" * 64, "3" * 64]]


@pytest.mark.parametrize("seconds", [300, -60, -1800])
def test_test_of_another_host_goes_on(docker: Path, seconds: float) -> None:
    """The container of a running test stays, even if the clock of its host is slightly different."""
    assert removed(docker, container(OURS, NAME, **until(seconds))) == []


def await_removal(docker: Path) -> str:
    """Return the id or name that the remover, a separate process, has removed."""
    deadline = time.monotonic() + 20
    while not calls(docker, "rm") and time.monotonic() < deadline:
        time.sleep(0.1)
    return calls(docker, "rm")[0][-1]


def test_container_goes_by_the_id_that_docker_knows(docker: Path) -> None:
    """The id comes from `docker container inspect` by the unique name, whatever `docker run` prints."""
    (docker / "started.json").write_text(json.dumps(container(OURS, "")))
    with smoke_container("src/app:image", "image", 1) as started:
        assert started.ended() is None
    assert await_removal(docker) == OURS
    assert [call[2] for call in calls(docker, "exec")] == [OURS]


def test_container_that_docker_does_not_know_goes_by_its_name(docker: Path) -> None:
    """A container that Docker does not know is not tested, and is removed by its name if it appears later."""
    refused = pytest.raises(SlimRayImageError, match="Docker does not know the container")
    with refused, smoke_container("src/app:image", "image", 1):
        pass
    assert re.fullmatch("slim-ray-image-smoke-test-[0-9a-f]{32}", await_removal(docker))
    assert not calls(docker, "exec")
