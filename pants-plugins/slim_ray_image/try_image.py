"""`pants test` of a `slim_ray_image`: run the image in Docker as KubeRay runs it.

The test runs the same image as `pants package` writes and `pants run` runs. A test that passed is cached, like any
test, by the image's digest and the test's request. If no Docker answers, the test is skipped.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Iterable

from pants.core.goals.test import TestFieldSet, TestRequest, TestResult, TestSubsystem
from pants.core.util_rules.partitions import PartitionerType, Partitions
from pants.engine.env_vars import EnvironmentVarsRequest
from pants.engine.fs import AddPrefix
from pants.engine.process import ProcessCacheScope
from pants.engine.rules import collect_rules
from pants.engine.target import Target
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel

from slim_ray_image.build_image import (
    BuildImageRequest,
    BuiltImage,
    build_image,
)
from slim_ray_image.compat import (
    add_prefix,
    environment_vars_subset,
    implicitly,
    rule,
    test_result,
    uncacheable_rule,
)
from slim_ray_image.core.check.smoke_requests import default_requests
from slim_ray_image.core.check.smoke_test import (
    DOCKER_FILE,
    IMAGE_FOLDER,
    FindDockerRequest,
    FindDockerResult,
    TryImageRequest,
)
from slim_ray_image.core.wire import from_json
from slim_ray_image.field_sets import SlimRayImageFieldSet
from slim_ray_image.outputs import archive_folder
from slim_ray_image.run_image import address_path, local_reference
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import SmokeRequestsField, SmokeTestField, SmokeTestTimeoutField
from slim_ray_image.tools import read_output, run_on_host

logger = logging.getLogger(__name__)

# Variables of Docker's command line: https://docs.docker.com/reference/cli/docker/#environment-variables. Docker's
# contexts are below HOME, and `ssh://` needs an agent.
_VARIABLES = (
    *("DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST"),
    *("DOCKER_TLS", "DOCKER_TLS_VERIFY", "HOME", "PATH", "SSH_AUTH_SOCK"),
)


@dataclass(frozen=True)
class SmokeTestFieldSet(SlimRayImageFieldSet, TestFieldSet):
    """The fields that the build and the smoke test read. The field `sources`, which Pants requires, is empty."""

    smoke_test: SmokeTestField
    smoke_requests: SmokeRequestsField
    timeout: SmokeTestTimeoutField

    @classmethod
    def opt_out(cls, tgt: Target) -> bool:
        return tgt.get(SmokeTestField).value is False


@dataclass(frozen=True)
class SmokeTestRequest(TestRequest):
    """A request of `pants test` to run images in Docker, each tested in a process of its own."""

    tool_subsystem = SlimRayImageSubsystem  # type: ignore[assignment]  # no `skip`: it is `smoke_test`
    field_set_type = SmokeTestFieldSet
    partitioner_type = PartitionerType.CUSTOM


@dataclass(frozen=True)
class Docker:
    """The Docker of this machine: the environment variables to reach it, or the reason why it cannot be used.

    Attributes:
        environment: Environment variables to find Docker's command line (PATH), and with which it finds Docker.
        problem: Reason why no Docker can be used; "" if one answers.
    """

    environment: FrozenDict[str, str]
    problem: str


@rule
async def choose_smoke_tests(
    request: SmokeTestRequest.PartitionRequest, subsystem: SlimRayImageSubsystem
) -> Partitions:
    """Return a test for each target that has `smoke_test=True`, or no `smoke_test` where the option is on."""
    wanted = (
        field_set
        for field_set in request.field_sets
        if field_set.smoke_test.value
        or (field_set.smoke_test.value is None and subsystem.smoke_test)
    )
    return Partitions(
        partition for field_set in wanted for partition in Partitions.single_partition([field_set])
    )


@uncacheable_rule(desc="Find Docker")
async def find_docker(request: FindDockerRequest) -> Docker:
    """Return this machine's Docker, or warn that there is none; runs in each session, as Docker may start or stop."""
    environment = await environment_vars_subset(EnvironmentVarsRequest(_VARIABLES), **implicitly())
    result = await run_on_host(
        "smoke.find_docker",
        request,
        environment=environment,
        output_files=(DOCKER_FILE,),
        description="Find Docker",
        cache_scope=ProcessCacheScope.PER_SESSION,
    )
    answer = await read_output(result.output_digest, DOCKER_FILE)
    problem = from_json(FindDockerResult, answer).problem
    if problem:
        logger.warning(f"Smoke tests of `slim_ray_image` targets are skipped: {problem}.")
    return Docker(FrozenDict(environment), problem)


def program_request(field_set: SmokeTestFieldSet, built: BuiltImage) -> TryImageRequest:
    """Return the request for the program that runs a built image in Docker and tests it."""
    applications = built.description.applications
    requests = field_set.smoke_requests.value
    if requests is None:
        requests = default_requests(application.route_prefix for application in applications)
    return TryImageRequest(
        target=field_set.image,
        reference=local_reference(address_path(field_set.address), built.image),
        applications=applications,
        config_path=built.description.serve_config or "",
        requests=requests,
        seconds=field_set.timeout.value,
    )


@rule(desc="Smoke-test", level=LogLevel.DEBUG)
async def run_smoke_test(
    batch: SmokeTestRequest.Batch, test_subsystem: TestSubsystem
) -> TestResult:
    """Build an image and test it in Docker, in one process, cached if the test passes; skip it without Docker."""
    field_set = batch.single_element
    address = field_set.address
    docker = await find_docker(FindDockerRequest(), **implicitly())
    if docker.problem:
        return TestResult.no_tests_found(address, test_subsystem.output)
    built = await build_image(BuildImageRequest(field_set), **implicitly())
    request = program_request(field_set, built)
    folder = await archive_folder(built.image, [request.reference], built.blobs_tree)
    result = await run_on_host(
        "smoke.try_image",
        request,
        inputs=await add_prefix(AddPrefix(folder, IMAGE_FOLDER)),
        environment=docker.environment,
        description=f"Smoke-test {address}",
        cache_scope=(
            ProcessCacheScope.PER_SESSION if test_subsystem.force else ProcessCacheScope.SUCCESSFUL
        ),
        reports_user_errors=True,
    )
    return test_result(result, address, test_subsystem.output)


def rules() -> Iterable[Any]:
    return [*collect_rules(), *SmokeTestRequest.rules()]
