"""`pants check` of several images that pass, fail, cannot be built, or are skipped."""

from __future__ import annotations

from typing import Any

import pytest
from pants.core.goals.check import CheckResults
from pants.core.util_rules import environments
from pants.engine.addresses import Address
from pants.engine.environment import EnvironmentName
from pants.engine.internals import platform_rules
from pants.testutil.rule_runner import QueryRule, RuleRunner

from slim_ray_image.check_image import (
    CheckedImage,
    CheckImageRequest,
    CheckSlimRayImageFieldSet,
    CheckSlimRayImagesRequest,
    check_slim_ray_images,
    explain_check,
)
from slim_ray_image.compat import rule
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import SlimRayImageTarget


@rule
async def check_without_building(request: CheckImageRequest) -> CheckedImage:
    """Stand in for the check: the target's name decides its result."""
    name = request.field_set.address.target_name
    if name == "unbuildable":
        raise SlimRayImageError("The lock is stale.", fixes=["generate it"])
    return CheckedImage(
        f"{request.field_set.address}: all good",
        "The image lacks a module." if name == "lacking" else "",
        ("the module x could not be checked",) if name == "unproven" else (),
    )


@pytest.fixture(scope="module")
def check_rule_runner() -> RuleRunner:
    return RuleRunner(
        rules=[
            check_without_building,
            check_slim_ray_images,
            explain_check,
            *environments.rules(),
            *platform_rules.rules(),
            *SlimRayImageSubsystem.rules(),
            QueryRule(CheckResults, [CheckSlimRayImagesRequest, EnvironmentName]),
        ],
        target_types=[SlimRayImageTarget],
    )


def target(name: str, **fields: Any) -> SlimRayImageTarget:
    return SlimRayImageTarget(
        {"serve_app": "app.main:app", **fields}, Address("src/app", target_name=name)
    )


def check(rule_runner: RuleRunner, *names: str, options: tuple[str, ...] = ()) -> CheckResults:
    rule_runner.set_options(options, env_inherit={"PATH"})
    field_sets = [CheckSlimRayImageFieldSet.create(target(name)) for name in names]
    return rule_runner.request(CheckResults, [CheckSlimRayImagesRequest(field_sets)])


def test_image_that_passes_is_one_line(check_rule_runner: RuleRunner) -> None:
    """Each image that passes prints one line and nothing else."""
    (result,) = check(check_rule_runner, "one", "two").results
    assert result.exit_code == 0
    assert result.stdout == "src/app:one: all good\nsrc/app:two: all good"
    assert result.stderr == ""


def test_what_is_not_proven_is_a_line_more(check_rule_runner: RuleRunner) -> None:
    """An unproven import adds a line and does not fail the check."""
    (result,) = check(check_rule_runner, "unproven").results
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "src/app:unproven: all good",
        "src/app:unproven: the module x could not be checked",
    ]


def test_failure_hides_no_other_image(check_rule_runner: RuleRunner) -> None:
    """An image that cannot be built fails; a problem that several images share is printed once."""
    names = ("lacking", "one", "unbuildable")
    (result,) = check(check_rule_runner, *names).results
    assert result.exit_code == 1
    assert result.stdout == "src/app:one: all good"
    assert result.stderr == (
        "The image lacks a module.\n\nThe lock is stale.\n\nTo fix, generate it."
    )


def test_nothing_to_check_is_skipped(check_rule_runner: RuleRunner) -> None:
    """The check is skipped with `[slim-ray].skip_check`, or if no target is an image."""
    assert check(check_rule_runner, "lacking", options=("--slim-ray-skip-check",)).skipped
    assert check(check_rule_runner).skipped


def test_field_leaves_an_image_out() -> None:
    """The field set does not apply to a target with `skip_check=True`."""
    assert CheckSlimRayImageFieldSet.is_applicable(target("one"))
    assert not CheckSlimRayImageFieldSet.is_applicable(target("one", skip_check=True))
