"""Runs an image in Docker the way KubeRay does, and checks that it does everything a cluster needs.

In: the files of the image in `image/`, in the layout that `docker load` reads; its applications; the requests to send.
Out: a line on stdout for each step, with the seconds it took; on failure, the container's logs on stdout, and the
reason on stderr.
"""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Sequence

from slim_ray_image.core.check.kuberay import (
    APPLICATIONS_PATH,
    HEAD_PROBE,
    HEAD_PROBE_SECONDS,
    HEALTH_COMMAND,
    JOB_COMMAND,
    JOB_WORDS,
    METRICS_OF_RAY,
    METRICS_OF_SERVE,
    METRICS_PORT,
    SERVE_PROBE_SECONDS,
    deployment_state,
    has_series,
    last_exception,
    serve_config,
    serve_port,
    serve_probe,
)
from slim_ray_image.core.check.smoke_test import IMAGE_FOLDER, TryImageRequest
from slim_ray_image.core.errors import SlimRayImageError, count_of
from slim_ray_image.core.serve.ray import SERVE_HTTP_PORT
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.smoke.load_image import is_loaded, load_image
from slim_ray_image.sandbox.smoke.smoke_container import SmokeContainer, smoke_container

# Probes use the one CPU that the container has.
_PAUSE_SECONDS = 1.5
_SHOWN_BODY = 300


def _show(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN_BODY]


def _load(reference: str) -> str:
    """Load the image into Docker, unless Docker has it, and return a clause that says which was the case."""
    if is_loaded(reference):
        return "the image is in Docker"
    load_image(reference, IMAGE_FOLDER)
    return "the image is loaded into Docker"


class SmokeTest:
    """The steps of a smoke test of a running image; each returns a clause about its success, or raises an error."""

    def __init__(self, request: TryImageRequest, container: SmokeContainer) -> None:
        self._target = request.target
        self._seconds = request.seconds
        self._applications = request.applications
        self._config_path = request.config_path
        self._requests = request.requests
        self._container = container
        self._port = SERVE_HTTP_PORT

    def steps(self) -> list[Callable[[], str]]:
        serving = [self.deploy, self.await_serve, self.send_requests]
        return [
            self.await_head,
            *(serving if self._applications else []),
            self.read_metrics,
            self.submit_job,
            self.check_health,
        ]

    def _await(self, condition: Callable[[], str], subject: str, *fixes: str) -> None:
        """Call `condition` until it returns "", not a reason to wait; the last reason is the evidence of a timeout.

        Raises:
            SlimRayImageError: If the container ends, or the time is over.
        """
        while True:
            unmet = condition()
            if not unmet:
                return
            ended = self._container.ended()
            if ended:
                raise SlimRayImageError(
                    f"{subject}: its container ended.", evidence=[ended], fixes=fixes
                )
            if not self._container.remaining:
                raise SlimRayImageError(
                    f"{subject} within {self._seconds} s.", evidence=[unmet], fixes=fixes
                )
            time.sleep(_PAUSE_SECONDS)

    def _probe(self, command: str, seconds: float) -> str:
        """Run a probe command of Ray's Kubernetes operator in the container; return its failure as a clause, or ""."""
        result = self._container.run("bash", "-c", command, seconds=seconds)
        if result.exit_code == 0:
            return ""
        if result.exit_code is None:
            return f"the probe took more than {seconds} s: {command}"
        words = result.last_words
        return f"the probe failed with exit code {result.exit_code}{words and f' ({words})'}: {command}"

    def await_head(self) -> str:
        self._await(
            lambda: self._probe(HEAD_PROBE, HEAD_PROBE_SECONDS),
            f"The head of {self._target} did not become ready",
            "read the logs above to find the part that does not start",
            "raise `smoke_test_timeout` if it needs longer on this machine",
        )
        return "the head answers the operator's probe"

    def _config(self) -> Any:
        """Return the Ray Serve config: the file in the image, read by its PyYAML, else one made of the applications."""
        if not self._config_path:
            return serve_config(self._applications)
        script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout, default=str)"
        result = self._container.run("python", "-c", script, self._config_path)
        if result.exit_code != 0:
            raise SlimRayImageError(
                f"The Serve config {self._config_path} in the image of {self._target} cannot be read.",
                evidence=[result.last_words],
                fixes=["correct the file that `serve_config` names"],
            )
        return json.loads(result.stdout)

    def deploy(self) -> str:
        config = self._config()
        self._port = serve_port(config)
        self._await(
            lambda: self._refusal(config),
            f"Ray Serve of {self._target} did not accept the config of its applications",
            "see the logs above",
        )
        names = [application.name for application in self._applications]
        self._await(
            lambda: self._pending(names),
            f"The applications of {self._target} did not come up",
            "see the logs above for the reason",
            "raise `smoke_test_timeout` if they need longer on this machine",
        )
        return f"{count_of(len(names), 'application')} deployed by the REST API: {', '.join(names)}"

    def _refusal(self, config: Any) -> str:
        """Send a config to Ray Serve; return "" if Ray Serve accepts it, else the answer, if another try may succeed.

        Like the operator, the test tries again while Ray Serve itself is at fault.

        Raises:
            SlimRayImageError: If Ray Serve refuses the config.
        """
        status, body = self._container.ask_dashboard("PUT", APPLICATIONS_PATH, config)
        answered = f"PUT {APPLICATIONS_PATH} was answered {status}"
        if 400 <= status < 500:
            _show(f"\n--- answer of Ray Serve\n{body}")
            raise SlimRayImageError(
                f"Ray Serve of {self._target} refused the config of its applications.",
                evidence=[f"{answered}: {last_exception(body)}"],
                fixes=["correct the config as the message says; the whole answer is above"],
            )
        return "" if status == 200 else f"{answered}: {_one_line(body)}"

    def _pending(self, names: Sequence[str]) -> str:
        status, body = self._container.ask_dashboard("GET", APPLICATIONS_PATH)
        if status != 200:
            return f"GET {APPLICATIONS_PATH} was answered {status}: {_one_line(body)}"
        state = deployment_state(json.loads(body), names)
        for name, message in state.failures:
            _show(f"\n--- message of application {name!r}\n{message}")
        if state.failures:
            raise SlimRayImageError(
                f"{count_of(len(state.failures), 'application')} of {self._target} failed to deploy.",
                evidence=[f"{name}: {last_exception(message)}" for name, message in state.failures],
                fixes=[
                    "correct the application; the whole message is above, with Ray Serve's logs"
                ],
            )
        return ", ".join(state.pending)

    def await_serve(self) -> str:
        self._await(
            lambda: self._probe(serve_probe(self._port), SERVE_PROBE_SECONDS),
            f"Ray Serve's proxy of {self._target} did not become ready",
            "read the logs above to find the part that does not start",
        )
        return "the proxy answers the operator's probe"

    def send_requests(self) -> str:
        problems = []
        for request in self._requests:
            status, body = self._container.ask(
                self._port,
                request.method,
                request.path,
                body=request.body,
                media_type=request.media_type,
            )
            problem = request.problem(status, body) if status else "was not answered"
            if problem:
                problems.append(f"{request} {problem}: {_one_line(body)}")
        if problems:
            raise SlimRayImageError(
                f"{len(problems)} of {count_of(len(self._requests), 'request')} to {self._target} were not answered "
                "as expected.",
                evidence=problems,
                fixes=[
                    "correct the application; its logs are above",
                    "if an answer is right, expect it in `smoke_requests`, such as "
                    '`smoke_request(path="/", status=404)`',
                ],
            )
        return f"{count_of(len(self._requests), 'request')} answered as expected"

    def read_metrics(self) -> str:
        prefix = METRICS_OF_SERVE if self._applications else METRICS_OF_RAY

        def missing() -> str:
            status, body = self._container.ask(METRICS_PORT, "GET", "/metrics")
            if status == 200 and has_series(body, prefix):
                return ""
            return f"GET :{METRICS_PORT}/metrics was answered {status}, without a series {prefix}*"

        self._await(
            missing,
            f"The metrics of {self._target} did not include the metrics of Ray",
            "see dashboard_agent.log above: the agent exports them",
        )
        return f"the metrics on :{METRICS_PORT} include {prefix} series"

    def submit_job(self) -> str:
        result = self._container.run(*JOB_COMMAND, seconds=self._container.remaining)
        if result.exit_code != 0 or JOB_WORDS not in result.stdout:
            _show(f"\n--- ray job submit\n{result.stdout}{result.stderr}")
            raise SlimRayImageError(
                f"A job submitted to the head of {self._target} did not run: `ray job submit` "
                + ("did not end." if result.exit_code is None else f"exited {result.exit_code}."),
                evidence=[result.last_words] if result.last_words else [],
                fixes=["see the output of `ray job submit` and the logs above"],
            )
        return "`ray job submit` runs a job"

    def check_health(self) -> str:
        result = self._container.run(*HEALTH_COMMAND)
        if result.exit_code != 0:
            raise SlimRayImageError(
                f"`ray health-check` in {self._target} "
                + ("did not end." if result.exit_code is None else f"exited {result.exit_code}."),
                evidence=[result.last_words] if result.last_words else [],
                fixes=["see the logs above: KubeRay's workers wait for it before they start"],
            )
        return "`ray health-check` succeeds"


def _run_steps(steps: Sequence[Callable[[], str]]) -> None:
    for step in steps:
        start = time.monotonic()
        shown = step()
        _show(f"{time.monotonic() - start:6.1f} s  {shown}")


def main(request: TryImageRequest) -> None:
    """Load the image into Docker, start a container of the image, and take each step of the smoke test."""
    _run_steps([lambda: _load(request.reference)])
    with smoke_container(request.target, request.reference, request.seconds) as container:
        try:
            _run_steps(SmokeTest(request, container).steps())
        except SlimRayImageError:
            _show(f"\n{container.logs()}\n")
            raise


if __name__ == "__main__":
    run_program(main, TryImageRequest)
