"""Tests of sandbox.smoke_container: which containers are removed, and which ids are believed.

Docker is a program that answers from a list of containers; tests/integration has the real one.
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
from slim_ray_image.sandbox.smoke_container import LABEL, _remove_expired, smoke_container

OURS, STRANGER = "a" * 64, "b" * 64
NAME = "slim-ray-image-smoke-test-" + "0" * 32
# As Docker: `ps` by name and label, `inspect`, and `rm`, which is written down.
_DOCKER = """\
#!/usr/bin/env python3
import json, os, re, sys
folder = os.path.dirname(os.path.abspath(__file__))
containers = json.load(open(f"{folder}/containers.json"))
arguments = sys.argv[1:]
with open(f"{folder}/calls", "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
if arguments[0] == "ps":
    kind, _, text = arguments[arguments.index("--filter") + 1].partition("=")
    for found in containers:
        labels = found["Config"]["Labels"]
        if text in labels if kind == "label" else re.search(text, found["Name"]):
            shown = "" if "--quiet" in arguments else " " + labels.get(text + ".until", "")
            print(found["Id"] + shown)
elif "inspect" in arguments:
    found = [c for c in containers if c["Id"] == arguments[-1]]
    print(json.dumps(found))
    sys.exit(0 if found else 1)
elif arguments[0] == "run":
    print(open(f"{folder}/run").read(), end="")
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
    """The label of a test whose time is over then, from now."""
    return {f"{LABEL}.until": str(int(time.time() + seconds))}


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Docker that stands in for the real one, first on PATH."""
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
    """It goes with its volumes, by its id, though one without a label or an ended one stands beside it."""
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
        pytest.param(container("db", NAME, **until(-7200)), id="no id"),
    ],
)
def test_container_of_somebody_else_stays(docker: Path, stranger: dict[str, Any]) -> None:
    """Whatever labels its image has, and whatever it is called."""
    assert removed(docker, stranger) == []


def test_label_cannot_name_another_container(docker: Path) -> None:
    """Lines of a label are no lines of a list."""
    for name in ("some-name", NAME):
        hostile = {f"{LABEL}.until": f"soon\n{STRANGER} 1\nproduction-db 1"}
        bait = container(OURS, name, **hostile)
        assert removed(docker, bait, container(STRANGER, "production-db")) == []


@pytest.mark.parametrize("seconds", [300, -60, -1800])
def test_test_of_another_host_goes_on(docker: Path, seconds: float) -> None:
    """Its time is not over, or only by a clock that is not quite the same."""
    assert removed(docker, container(OURS, NAME, **until(seconds))) == []


@pytest.mark.parametrize("told", ["", "production-db", OURS[:12], f"{OURS}\n{STRANGER}", "A" * 64])
def test_what_is_no_id_is_not_believed(docker: Path, told: str) -> None:
    """Neither is it asked, nor removed: the container is known by its name."""
    (docker / "run").write_text(told)
    refused = pytest.raises(SlimRayImageError, match="`docker run` did not tell the id")
    with refused, smoke_container("src/app:image", "image", 1):
        pass
    deadline = time.monotonic() + 20
    while not calls(docker, "rm") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert re.fullmatch("slim-ray-image-smoke-test-[0-9a-f]{32}", calls(docker, "rm")[0][-1])
    assert not calls(docker, "exec")
