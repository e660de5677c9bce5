"""Starts the container of a smoke test the way KubeRay starts a Ray head, and removes it however the test ends."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional

from slim_ray_image.core.check.kuberay import (
    DASHBOARD_PORT,
    ENVIRONMENT,
    RUN_ARGUMENTS,
    START_COMMAND,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image.oci import OWN_LABELS
from slim_ray_image.sandbox.smoke.ask_http import HttpAnswer, HttpRequest, ask
from slim_ray_image.sandbox.smoke.docker_command import Finished, require_docker, run_docker
from slim_ray_image.sandbox.smoke.remove_container import remove

LABEL = f"{OWN_LABELS}smoke-test"
_UNTIL_LABEL = f"{LABEL}.until"
_NAME_PREFIX = "slim-ray-image-smoke-test-"
_NAME = re.compile(f"{_NAME_PREFIX}[0-9a-f]{{32}}")
_SECONDS = re.compile("[0-9]{1,12}")
# Allowance for differing clocks of hosts that share a Docker. The container's processes have ended by then.
_GRACE_SECONDS = 3600
_COMMAND_SECONDS = 60
_SESSION_LOGS = "/tmp/ray/session_latest/logs"
# Ray's logs that show why a head or an application does not start.
_LOGS = (
    *("gcs_server.err", "raylet.err", "dashboard.err", "dashboard*.log", "serve/controller_*.log"),
    *("serve/replica_*.log", "job-driver-*.log"),
)
_LINES, _LINE_LENGTH, _LOG_LENGTH = 25, 400, 30_000
# Lines that the dashboard logs at each start.
_ROUTINE = re.compile(r"\S+ \S+\tINFO (agent|head|http_server\w*|utils|web_log|module)\.py")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def _program_text(function: Callable[..., Any]) -> str:
    """Return the source of the module that defines a function, for `python -c`."""
    return inspect.getsource(sys.modules[function.__module__])


class SmokeContainer:
    """The running container of a smoke test, to run commands in it and to send HTTP requests to its servers."""

    def __init__(self, container: str, seconds: float) -> None:
        self._container = container
        self._until = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds until the smoke test must be done; not below zero."""
        return max(0.0, self._until - time.monotonic())

    def run(self, *command: str, seconds: float = _COMMAND_SECONDS, stdin: str = "") -> Finished:
        """Run a command in the smoke test's container, as the container's user, and return its exit code and output."""
        arguments = ("exec", *(["--interactive"] if stdin else []), self._container, *command)
        return run_docker(arguments, seconds=min(seconds, self.remaining), stdin=stdin)

    def ask(
        self,
        port: int,
        method: str,
        path: str,
        *,
        body: Optional[str] = None,
        media_type: str = "application/json",
        seconds: float = _COMMAND_SECONDS,
    ) -> HttpAnswer:
        """Send an HTTP request to a server in the container, from inside; return the answer, status 0 if none comes."""
        request = HttpRequest(port, method, path, body, media_type, seconds)
        command = ("python", "-I", "-S", "-c", _program_text(ask))
        result = self.run(*command, seconds=seconds + 5, stdin=json.dumps(request._asdict()))
        if result.exit_code != 0:
            return HttpAnswer(0, result.last_words or f"no answer in {seconds:.0f} s")
        return HttpAnswer(**json.loads(result.stdout))

    def ask_dashboard(self, method: str, path: str, value: Any = None) -> HttpAnswer:
        """Send an HTTP request to the REST API of the dashboard of Ray in the container; `value` is sent as JSON."""
        body = None if value is None else json.dumps(value)
        return self.ask(DASHBOARD_PORT, method, path, body=body)

    def ended(self) -> Optional[str]:
        """Return how the smoke test's container ended, such as "exit code 1"; None while the container runs."""
        found = _inspect(self._container)
        return found[0].end if found else None

    def logs(self) -> str:
        """Return the last lines of the container's output and of Ray's logs in it."""
        output = run_docker(["logs", self._container], seconds=_COMMAND_SECONDS)
        parts = [("docker logs", output.stdout + output.stderr)]
        script = (
            f'cd {_SESSION_LOGS} && for log in {" ".join(_LOGS)}; do [ -s "$log" ] && '
            f'echo "==> $log" && tail -n {5 * _LINES} "$log"; done; true'
        )
        inside = run_docker(
            ["exec", self._container, "/bin/bash", "-c", script], seconds=_COMMAND_SECONDS
        )
        for part in inside.stdout.split("==> ")[1:] if inside.exit_code == 0 else []:
            name, _, text = part.partition("\n")
            parts.append((name, text))
        shown = ((name, _last_lines(text)) for name, text in parts)
        return "\n".join(f"--- {name}\n{text}" for name, text in shown if text)[-_LOG_LENGTH:]


def _last_lines(text: str) -> str:
    lines = [line for line in _COLOUR.sub("", text).splitlines() if not _ROUTINE.match(line)]
    lines = lines[-_LINES:]
    return "\n".join(line[:_LINE_LENGTH] for line in lines)


@dataclass(frozen=True)
class _Container:
    """A container in Docker: its id, its name, its labels, and why it ended if it did.

    Attributes:
        end: Reason why the container does not run; None while it runs.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    end: Optional[str]


def _described(row: Mapping[str, Any]) -> _Container:
    """Return the container that an object in the output of `docker container inspect` describes."""
    state = row["State"]
    end = f"exit code {state['ExitCode']}{', out of memory' if state['OOMKilled'] else ''}"
    return _Container(
        row["Id"],
        row["Name"].lstrip("/"),
        row["Config"].get("Labels") or {},
        None if state["Running"] else end,
    )


def _inspect(*containers: str) -> tuple[_Container, ...]:
    """Return the existing containers with these ids or names; none if Docker does not answer."""
    if not containers:
        return ()
    result = run_docker(["container", "inspect", *containers], seconds=_COMMAND_SECONDS)
    rows = [] if result.exit_code is None else json.loads(result.stdout or "[]")
    return tuple(map(_described, rows))


def _is_expired(container: _Container) -> bool:
    """Return whether a container belongs to a smoke test whose time has long been over.

    The name proves that a test made the container, since no image can name a container. So the label is also from
    the test: its label overrides a label of the image.
    """
    if not _NAME.fullmatch(container.name):
        return False
    until = container.labels.get(_UNTIL_LABEL, "")
    return bool(_SECONDS.fullmatch(until)) and int(until) + _GRACE_SECONDS < time.time()


def _remove_expired() -> None:
    """Remove containers of earlier smoke tests whose time has long been over, for example because a host went down."""
    listed = run_docker(
        [
            *("ps", "--all", "--no-trunc", "--filter", f"name={_NAME_PREFIX}"),
            *("--format", "{{json .ID}}"),
        ],
        seconds=_COMMAND_SECONDS,
    )
    for container in _inspect(*map(json.loads, listed.stdout.splitlines())):
        if _is_expired(container):
            run_docker(["rm", "--force", "--volumes", container.id], seconds=_COMMAND_SECONDS)


def _start(name: str, labels: Mapping[str, str], reference: str) -> str:
    """Start a container of an image the way KubeRay starts a Ray head, and return the container's id.

    Raises:
        SlimRayImageError: If Docker does not start the container, or does not know it afterwards.
    """
    pairs = (("--label", labels), ("--env", ENVIRONMENT))
    options = [
        argument
        for option, values in pairs
        for key, value in values.items()
        for argument in (option, f"{key}={value}")
    ]
    arguments = ("run", "--detach", "--name", name, *options, *RUN_ARGUMENTS)
    require_docker([*arguments, reference, *START_COMMAND], seconds=_COMMAND_SECONDS)
    for container in _inspect(name):
        return container.id
    raise SlimRayImageError(
        "`docker run` succeeded, but Docker does not know the container that it started.",
        evidence=[f"`docker container inspect {name}` finds none"],
        fixes=["check that `docker` on PATH is Docker's command line, or a compatible one"],
    )


@contextmanager
def smoke_container(target: str, reference: str, seconds: float) -> Iterator[SmokeContainer]:
    """Start the container of a smoke test, yield it, and remove it at the end, by a separate process.

    The removal does not depend on this program: a separate process removes the container, by its id, when this program
    is gone or the time is over. If that process is gone as well, the container's processes end when the time is over.
    """
    _remove_expired()
    name = f"{_NAME_PREFIX}{uuid.uuid4().hex}"
    limit = seconds + _COMMAND_SECONDS  # for the logs of a test whose time is over
    with subprocess.Popen(
        [
            *(sys.executable, "-s", "-S", "-c", _program_text(remove)),
            *(name, str(limit)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    ) as remover:
        assert remover.stdin is not None
        labels = {LABEL: target, _UNTIL_LABEL: str(int(time.time() + limit))}
        container = _start(name, labels, reference)  # if this fails, the remover uses the name
        remover.stdin.write(container.encode())
        remover.stdin.flush()
        end_script = f"sleep {limit:.0f}; kill -KILL -1"
        run_docker(
            ["exec", "--detach", container, "/bin/bash", "-c", end_script],
            seconds=_COMMAND_SECONDS,
        )
        yield SmokeContainer(container, seconds)
