"""Commands and variables with which KubeRay starts and probes an image, and readers of Ray Serve's answers.

Commands and variables are copied from KubeRay's operator, version `VERSION`, for the release of Ray in
`core/serve/ray.py`. REST API of Ray Serve:
https://docs.ray.io/en/releases-2.48.0/serve/api/index.html#serve-rest-api.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from slim_ray_image.core.serve.ray import SERVE_HTTP_PORT
from slim_ray_image.core.serve.served_application import ServedApplication

# https://github.com/ray-project/kuberay/blob/v1.7.0/ray-operator/controllers/ray/common/pod.go
VERSION = "1.7.0"

DASHBOARD_PORT = 8265
METRICS_PORT = 8080
APPLICATIONS_PATH = "/api/serve/applications/"
METRICS_OF_RAY, METRICS_OF_SERVE = "ray_", "ray_serve_"

_AGENT_PORT = 52365
_MEMORY_BYTES = 4_000_000_000
# CPUs that Ray is told of. A cluster's workers would bring as many, so that all replicas fit; they share one real CPU.
_LOGICAL_CPUS = 16

_WGET = "wget --tries 1 -T {} -q -O- http://localhost:{}/{} | grep success"
_RAYLET_PROBE = _WGET.format(2, _AGENT_PORT, "api/local_raylet_healthz")
HEAD_PROBE = f"{_RAYLET_PROBE} && {_WGET.format(10, DASHBOARD_PORT, 'api/gcs_healthz')}"
# Seconds after which the operator considers a probe failed.
HEAD_PROBE_SECONDS, SERVE_PROBE_SECONDS = 5, 2

_START = (
    f"ray start --head --block --dashboard-agent-listen-port={_AGENT_PORT} --dashboard-host=0.0.0.0 "
    f"--memory={_MEMORY_BYTES} --metrics-export-port={METRICS_PORT} --num-cpus={_LOGICAL_CPUS}"
)
_LIMIT = "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}"
START_COMMAND = ("/bin/bash", "-c", "--", f"{_LIMIT}; {_START}")
# Each variable that the operator sets in the containers of a RayService, with its value for the head in a smoke test;
# None if the smoke test does not set the variable. Variables of optional features, such as TLS or tokens, are left out:
# an image may set them for use without KubeRay.
OPERATOR_VARIABLES: Mapping[str, Optional[str]] = {
    "FQ_RAY_IP": None,  # set in workers only
    "KUBERAY_GEN_RAY_START_CMD": _START,
    "RAY_ADDRESS": "127.0.0.1:6379",
    "RAY_CLOUD_INSTANCE_ID": "smoke-test-head",
    "RAY_CLUSTER_NAME": "smoke-test",
    "RAY_CLUSTER_NAMESPACE": "default",
    "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE": "1",
    "RAY_IP": None,  # set in workers only
    "RAY_NODE_TYPE_NAME": "headgroup",
    "RAY_PORT": "6379",
    "RAY_SERVE_KV_TIMEOUT_S": "5",
    "RAY_USAGE_STATS_EXTRA_TAGS": f"kuberay_version=v{VERSION};kuberay_crd=RayService",
    "RAY_USAGE_STATS_KUBERAY_IN_USE": "1",
    "RAY_gcs_server_request_timeout_seconds": "5",
    "RAY_timeout_ms_task_wait_for_death_info": "0",
    "REDIS_PASSWORD": None,  # set only for fault tolerance by Redis
}
# The last two are ours: the smoke test sends no usage statistics, and waits for a dashboard that starts slowly, for
# example on a busy machine; a cluster would restart the head instead.
ENVIRONMENT: Mapping[str, str] = {
    **{name: value for name, value in OPERATOR_VARIABLES.items() if value is not None},
    "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT": "300",
    "RAY_USAGE_STATS_ENABLED": "0",
}
# The same volumes and limits as in a pod of the operator, and a read-only root filesystem.
RUN_ARGUMENTS = (
    *("--read-only", "--tmpfs", "/tmp:exec,mode=1777", "--shm-size", "1g"),
    *("--cpus", "1", "--memory", str(_MEMORY_BYTES)),
)

JOB_WORDS = "a job of the smoke test ran"
# The blanks in the program make `ray job submit` quote it for the shell that runs it.
JOB_COMMAND = (
    *("ray", "job", "submit", "--address", f"http://127.0.0.1:{DASHBOARD_PORT}", "--"),
    *("python", "-c", f"print( '{JOB_WORDS}' )"),
)
HEALTH_COMMAND = ("ray", "health-check")


@dataclass(frozen=True)
class DeploymentState:
    """Progress of Ray Serve in deploying applications: those that do not run yet, and those that failed.

    Attributes:
        pending: Name and status of each application that does not run yet, such as "default: DEPLOYING".
        failures: (name, message of Ray Serve) of each application that failed.
    """

    pending: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]


def _application_config(application: ServedApplication) -> Mapping[str, Any]:
    return {
        "name": application.name,
        "route_prefix": application.route_prefix,
        "import_path": application.import_path,
        **({"args": list(application.args)} if application.args else {}),
    }


def serve_config(applications: Sequence[ServedApplication]) -> Mapping[str, Any]:
    """Return the Serve config that a smoke test sends to Ray, to deploy the applications."""
    return {"applications": [*map(_application_config, applications)]}


def serve_port(config: Mapping[str, Any]) -> int:
    """Return the HTTP port that Ray Serve listens on: the port in a Serve config, else Ray's default."""
    return int((config.get("http_options") or {}).get("port") or SERVE_HTTP_PORT)


def serve_probe(port: int) -> str:
    """Return the shell command with which KubeRay probes whether a pod is ready to serve HTTP requests."""
    return f"{_RAYLET_PROBE} && {_WGET.format(10, port, '-/healthz')}"


def _messages(application: Mapping[str, Any]) -> str:
    """Return Ray Serve's message on an application, then its deployments' messages that are not part of the former."""
    found = [application.get("message") or ""]
    for deployment in (application.get("deployments") or {}).values():
        message = deployment.get("message") or ""
        if message and message not in found[0]:
            found.append(message)
    return "\n".join(text.strip() for text in found if text.strip())


def deployment_state(answer: Mapping[str, Any], names: Sequence[str]) -> DeploymentState:
    """Return which of the applications `names` failed or do not run yet, by an answer of Ray Serve's REST API."""
    applications = answer.get("applications") or {}
    pending, failures = [], []
    for name in names:
        application = applications.get(name) or {"status": "NOT_STARTED"}
        status = application["status"]
        if status in ("DEPLOY_FAILED", "UNHEALTHY"):
            failures.append((name, _messages(application) or status))
        elif status != "RUNNING":
            pending.append(f"{name}: {status}")
    return DeploymentState(tuple(pending), tuple(failures))


def last_exception(message: str) -> str:
    """Return the last line of an error message that names an exception, else the first line of the message."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message)  # without terminal colours
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception)\b", line)]
    return (raised or lines or ["no message"])[-1 if raised else 0]


def has_series(metrics: str, prefix: str) -> bool:
    """Return whether a text in Prometheus' format has a sample whose name starts with `prefix`."""
    return any(line.startswith(prefix) for line in metrics.splitlines())
