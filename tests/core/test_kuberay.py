"""Tests of core.check.kuberay."""

from __future__ import annotations

from typing import Any, Mapping

import pytest

from slim_ray_image.core.check.kuberay import (
    ENVIRONMENT,
    HEAD_PROBE,
    JOB_COMMAND,
    OPERATOR_VARIABLES,
    START_COMMAND,
    DeploymentState,
    deployment_state,
    has_series,
    last_exception,
    serve_config,
    serve_port,
    serve_probe,
)
from slim_ray_image.core.serve.served_application import ServedApplication

TRACEBACK = """\
Deploying app 'default' failed with exception:
Traceback (most recent call last):
  File "/app/services/broken/app.py", line 3, in <module>
    raise RuntimeError("no model here")
RuntimeError: no model here
"""


def application(status: str, message: str = "", **deployments: str) -> dict[str, Any]:
    """Return an application in Ray Serve's answer to GET; `deployments` are name -> message."""
    return {
        "status": status,
        "message": message,
        "deployments": {name: {"message": text} for name, text in deployments.items()},
    }


def test_commands_are_those_of_the_operator() -> None:
    """Probes and the start command are spelled exactly as in KubeRay's operator."""
    wget = "wget --tries 1 -T {} -q -O- http://localhost:{} | grep success"
    raylet = wget.format(2, "52365/api/local_raylet_healthz")
    assert f"{raylet} && {wget.format(10, '8265/api/gcs_healthz')}" == HEAD_PROBE
    assert f"{raylet} && {wget.format(10, '8001/-/healthz')}" == serve_probe(8001)
    assert START_COMMAND[:3] == ("/bin/bash", "-c", "--")
    start = "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}; ray start --head --block "
    assert START_COMMAND[3].startswith(start)
    assert JOB_COMMAND[:3] == ("ray", "job", "submit")


def test_head_has_the_variables_of_the_operator() -> None:
    """The smoke test sets each variable of the operator that a head has, and two of its own."""
    elsewhere = {"FQ_RAY_IP", "RAY_IP", "REDIS_PASSWORD"}
    own = {"RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT", "RAY_USAGE_STATS_ENABLED"}
    assert ENVIRONMENT.keys() == (OPERATOR_VARIABLES.keys() - elsewhere) | own
    assert ENVIRONMENT["KUBERAY_GEN_RAY_START_CMD"] in START_COMMAND[3]
    assert ENVIRONMENT["RAY_ADDRESS"].endswith(f":{ENVIRONMENT['RAY_PORT']}")


def test_config_has_what_ray_serve_knows() -> None:
    """Only an application with arguments has `args`; an application without a route has a null `route_prefix`."""
    applications = [
        ServedApplication("a", "/", "m:app"),
        ServedApplication("b", None, "m:build", ("size",)),
    ]
    assert serve_config(applications) == {
        "applications": [
            {"name": "a", "route_prefix": "/", "import_path": "m:app"},
            {"name": "b", "route_prefix": None, "import_path": "m:build", "args": ["size"]},
        ]
    }


@pytest.mark.parametrize(
    ("config", "port"),
    [({}, 8000), ({"http_options": None}, 8000), ({"http_options": {"host": "::"}}, 8000)]
    + [({"http_options": {"port": port}}, 8001) for port in (8001, "8001")],
)
def test_port_is_that_of_the_config(config: Mapping[str, Any], port: int) -> None:
    """Without a port in the config it is Ray Serve's default; a string with a number is a port, as in Ray."""
    assert serve_port(config) == port


def test_applications_that_run_are_done() -> None:
    """An application that was not deployed by the smoke test does not count."""
    answer = {"applications": {"a": application("RUNNING"), "other": application("DEPLOYING")}}
    assert deployment_state(answer, ["a"]) == DeploymentState((), ())


def test_applications_that_do_not_run_yet_are_named() -> None:
    """Applications that do not run yet are pending; one that Ray Serve does not know is NOT_STARTED."""
    answer = {"applications": {"a": application("DEPLOYING")}}
    expected = DeploymentState(("a: DEPLOYING", "b: NOT_STARTED"), ())
    assert deployment_state(answer, ["a", "b"]) == expected


def test_failures_have_all_that_is_said_of_them() -> None:
    """A failure has the application's message, then new messages of its deployments; without messages, its status."""
    answer = {
        "applications": {
            "a": application(
                "DEPLOY_FAILED", "All failed", One="failed", Two="it is out of memory"
            ),
            "b": application("UNHEALTHY"),
        }
    }
    state = deployment_state(answer, ["a", "b"])
    assert state.failures == (("a", "All failed\nit is out of memory"), ("b", "UNHEALTHY"))


def test_last_exception_is_what_was_raised() -> None:
    """The exception of a message is its last error line; of a message without one, the first line."""
    assert last_exception(TRACEBACK) == "RuntimeError: no model here"
    assert last_exception("services.app.MissingModelError: gone\nmore") == (
        "services.app.MissingModelError: gone"
    )
    assert last_exception("\nThe replicas\ndo not fit\n") == "The replicas"
    assert last_exception("") == "no message"
    assert last_exception("\x1b[36mray::f()\x1b[39m (pid=1)\n  File x\nTypeError: a number") == (
        "TypeError: a number"
    )


def test_series_are_samples_and_no_comments() -> None:
    """A series that has only comments, and no sample, does not count."""
    metrics = '# HELP ray_serve_x Help.\n# TYPE ray_serve_x gauge\nray_node_y{a="b"} 1.0\n'
    assert not has_series(metrics, "ray_serve_")
    assert has_series(metrics, "ray_")
