"""`pants test` of a `slim_ray_image`: the targets to test, the program's request, and skipped tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
from pants.core.goals.test import TestResult
from pants.core.util_rules.partitions import Partitions
from pants.engine.addresses import Address
from pants.testutil.rule_runner import QueryRule, RuleRunner

from rules.rule_runner import (
    BUILT,
    DESCRIPTION,
    SMALL_IMAGE,
    make_rule_runner,
    target_error,
    write,
)
from slim_ray_image.build_image import BuiltImage
from slim_ray_image.core.check.smoke_requests import smoke_request
from slim_ray_image.core.check.smoke_test import (
    FindDockerRequest,
    SmokeRequest,
    TryImageRequest,
)
from slim_ray_image.core.serve.served_application import ServedApplication
from slim_ray_image.core.wire import from_json, to_json
from slim_ray_image.target_types import SlimRayImageTarget, SmokeRequestsField
from slim_ray_image.try_image import (
    Docker,
    SmokeTestFieldSet,
    SmokeTestRequest,
    program_request,
)

ADDRESS = Address("src/app", target_name="image")
APPLICATION = ServedApplication("default", "/", "app.main:app")


class QueryRules:
    """A backend with only queries."""

    def __init__(self, *queries: QueryRule) -> None:
        self._queries = queries

    def rules(self) -> list[QueryRule]:
        return list(self._queries)

    def target_types(self) -> list[Any]:
        return []


@pytest.fixture(scope="module")
def smoke_rule_runner() -> RuleRunner:
    """A runner with the plugin's whole rule graph."""
    return make_rule_runner(
        QueryRules(
            QueryRule(Docker, [FindDockerRequest]),
            QueryRule(Partitions, [SmokeTestRequest.PartitionRequest]),
            QueryRule(TestResult, [SmokeTestRequest.Batch]),
        )
    )


def field_set(name: str = "image", **fields: Any) -> SmokeTestFieldSet:
    target = SlimRayImageTarget(
        {"serve_app": "app.main:app", **fields}, Address("src/app", target_name=name)
    )
    return SmokeTestFieldSet.create(target)


def built(*applications: ServedApplication, serve_config: Optional[str] = None) -> BuiltImage:
    description = replace(DESCRIPTION, applications=applications, serve_config=serve_config)
    return replace(BUILT, description=description)


def chosen(rule_runner: RuleRunner, *options: str) -> list[str]:
    rule_runner.set_options(options)
    sets = (field_set("unset"), field_set("yes", smoke_test=True))
    partitions = rule_runner.request(Partitions, [SmokeTestRequest.PartitionRequest(sets)])
    return [f.address.target_name for partition in partitions for f in partition.elements]


def test_only_targets_that_want_it_are_tested(smoke_rule_runner: RuleRunner) -> None:
    """If the field is unset, the option decides, which is off by default; each target is a separate test."""
    assert chosen(smoke_rule_runner) == ["yes"]
    assert chosen(smoke_rule_runner, "--slim-ray-smoke-test") == ["unset", "yes"]


def test_target_that_says_no_is_no_test() -> None:
    """With `smoke_test=False` nothing is tested, whatever the option is."""
    target = {"serve_app": "app.main:app"}
    assert SmokeTestFieldSet.is_applicable(SlimRayImageTarget(target, ADDRESS))
    refusing = SlimRayImageTarget({**target, "smoke_test": False}, ADDRESS)
    assert not SmokeTestFieldSet.is_applicable(refusing)


def test_program_is_told_applications_and_requests() -> None:
    """The request has facts of image.json, the image's name in `pants run`, and the target's requests."""
    builder = ServedApplication("built", None, "app.main:build", ("size",))
    sent = smoke_request(method="POST", path="/", json={}, status=400, contains="list")
    request = program_request(
        field_set(smoke_requests=[sent, "/"], smoke_test_timeout=20),
        built(APPLICATION, builder, serve_config="/app/serve.yaml"),
    )
    assert request == TryImageRequest(
        target="src/app:image",
        reference=f"slim-ray-image.local/src/app/image:{SMALL_IMAGE.manifest_descriptor.hex[:12]}",
        applications=(APPLICATION, builder),
        config_path="/app/serve.yaml",
        requests=(
            SmokeRequest("POST", "/", "{}", "application/json", 400, "list"),
            SmokeRequest("GET", "/"),
        ),
        seconds=20,
    )
    assert from_json(TryImageRequest, to_json(request)) == request


def test_program_asks_each_route_by_default() -> None:
    """Without `smoke_requests`, the test requests each application's route, or none if there is no application."""
    second = ServedApplication("second", "/second", "app.second:app")
    request = program_request(field_set(), built(APPLICATION, second))
    assert [sent.path for sent in request.requests] == ["/", "/second"]
    assert request.seconds == 300
    assert program_request(field_set(), built()).requests == ()
    assert program_request(field_set(smoke_requests=[]), built(APPLICATION)).requests == ()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (None, "there is no `docker` on PATH"),
        ("echo 'the daemon is away' >&2; exit 1", "Docker does not answer: the daemon is away"),
    ],
    ids=["no-docker", "no-daemon"],
)
def test_without_docker_the_test_is_skipped(
    smoke_rule_runner: RuleRunner, tmp_path: Path, script: object, problem: str
) -> None:
    """The reason is reported, nothing is built, and the result does not count as a test."""
    if script:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "docker").chmod(0o755)
    smoke_rule_runner.set_options([], env={"PATH": str(tmp_path)})
    assert smoke_rule_runner.request(Docker, [FindDockerRequest()]).problem == problem
    (partition,) = Partitions.single_partition([field_set()])
    batch = SmokeTestRequest.Batch("slim-ray", partition.elements, partition.metadata)
    result = smoke_rule_runner.request(TestResult, [batch])
    assert result.exit_code is None


def build_file(*requests: str) -> str:
    return (
        'slim_ray_image(name="image", serve_app="app.main:app", '
        f"smoke_requests=[{', '.join(requests)}])\n"
    )


WRONG = {
    '"health"': "must contain paths that start with '/' and have no blanks, and `smoke_request(...)`, but has 'health'",
    '"GET /missing -> 404"': 'To fix, write smoke_request(path="/missing", status=404).',
    'smoke_request(path="/", stats=404)': 'has smoke_request(path="/", stats=404).',
    'smoke_request("/missing")': "status, contains, but has smoke_request(",
    "404": "must be a list of paths and `smoke_request(...)`, but was",
}


@pytest.mark.parametrize("value", WRONG)
def test_wrong_requests_are_refused(rule_runner: RuleRunner, value: str) -> None:
    """The message names field and target, and has no traceback."""
    write(rule_runner, {"app/BUILD": build_file(value)})
    text = target_error(rule_runner, ADDRESS)
    assert "smoke_requests" in text
    assert "target src/app:image must " in text
    assert WRONG[value] in text
    assert "Traceback" not in text


def test_build_file_has_smoke_request(rule_runner: RuleRunner) -> None:
    """`smoke_request` needs no import, and generated images have the generator's requests, or those of `overrides`."""
    write(
        rule_runner,
        {
            "app/BUILD": build_file('"/health"', 'smoke_request(path="/a", status=404)'),
            "shop/BUILD": (
                'slim_ray_images(name="apart", serve_config="serve.yaml", smoke_requests=["/", smoke_request(path="/a")], '
                'overrides={"b": {"smoke_requests": [smoke_request(method="POST", path="/b", json={"c": [1]})]}})\n'
            ),
            "shop/serve.yaml": (
                "applications:\n- {name: a, route_prefix: /a, import_path: shop.main:a}\n"
                "- {name: b, route_prefix: /b, import_path: shop.main:b}\n"
            ),
        },
    )
    generated = {
        name: Address("src/shop", target_name="apart", generated_name=name) for name in ("a", "b")
    }
    expected = {
        ADDRESS: (SmokeRequest("GET", "/health"), SmokeRequest("GET", "/a", status=404)),
        generated["a"]: (SmokeRequest("GET", "/"), SmokeRequest("GET", "/a")),
        generated["b"]: (SmokeRequest("POST", "/b", '{"c": [1]}', "application/json"),),
    }
    found = {a: rule_runner.get_target(a)[SmokeRequestsField].value for a in expected}
    assert found == expected
