"""The backend that Pants loads."""

from __future__ import annotations

from pants.core.goals.package import PackageFieldSet
from pants.core.goals.run import RunFieldSet
from pants.core.target_types import GenericTarget
from pants.engine.rules import TaskRule
from pants.engine.target import InferDependenciesRequest
from pants.engine.unions import UnionRule
from pants.testutil.rule_runner import RuleRunner

from rules.rule_runner import IMAGE, make_rule_runner, write
from slim_ray_image import register
from slim_ray_image.dependency_inference import EntryFieldSet, InferSlimRayImageDependencies
from slim_ray_image.field_sets import SlimRayImageFieldSet
from slim_ray_image.run_image import RunSlimRayImageFieldSet
from slim_ray_image.target_types import SlimRayImagesTarget, SlimRayImageTarget


def test_rule_graph_solves_beside_the_python_backend() -> None:
    """Every input of every rule can be computed with only the backends that each user has."""
    assert make_rule_runner().scheduler is not None


def test_two_target_types_are_registered() -> None:
    """The backend has the target `slim_ray_image` and its generator `slim_ray_images`."""
    assert list(register.target_types()) == [SlimRayImageTarget, SlimRayImagesTarget]
    assert SlimRayImageTarget.alias == "slim_ray_image"
    assert SlimRayImagesTarget.alias == "slim_ray_images"


def test_every_field_has_a_help_text() -> None:
    """`pants help slim_ray_image` and `pants help slim_ray_images` explain each field."""
    for field in (*SlimRayImageTarget.core_fields, *SlimRayImagesTarget.core_fields):
        text = field.help() if callable(field.help) else field.help
        assert text.strip(), field.alias


def test_no_rule_is_made_twice() -> None:
    """A rule that several modules import is one rule, so its result is memoized once."""
    by_name: dict[str, set[int]] = {}
    for entry in register.rules():
        task = getattr(entry, "rule", entry)
        if isinstance(task, TaskRule):
            by_name.setdefault(task.canonical_name, set()).add(id(task))
    ours = {name: tasks for name, tasks in by_name.items() if name.startswith("slim_ray_image.")}
    assert len(ours) > 10
    assert {name for name, tasks in ours.items() if len(tasks) > 1} == set()


def test_goals_know_the_target(rule_runner: RuleRunner) -> None:
    """`package`, `run` and dependency inference have a union member for the target."""
    unions = [entry for entry in register.rules() if isinstance(entry, UnionRule)]
    assert UnionRule(PackageFieldSet, SlimRayImageFieldSet) in unions
    assert UnionRule(InferDependenciesRequest, InferSlimRayImageDependencies) in unions
    assert RunSlimRayImageFieldSet in rule_runner.union_membership.get(RunFieldSet)


def test_field_sets_apply_to_our_target_alone(rule_runner: RuleRunner) -> None:
    """The field sets do not apply to targets of other types."""
    write(
        rule_runner,
        {"app/BUILD": "target(name='other')\nslim_ray_image(name='image', serve_app='a:b')\n"},
    )
    image = rule_runner.get_target(IMAGE)
    other = GenericTarget({}, IMAGE)
    for field_set in (EntryFieldSet, SlimRayImageFieldSet, RunSlimRayImageFieldSet):
        assert field_set.is_applicable(image)
        assert not field_set.is_applicable(other)
