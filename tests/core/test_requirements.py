"""Tests of core.wheels.requirements."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations
from typing import Sequence

import pytest
from conftest import PYTHONPATH, make_distribution

from slim_ray_image.core.wheels.distributions import Distribution
from slim_ray_image.core.wheels.requirements import RequiredDistribution, explain

ENVIRONMENT = {"python_version": "3.10", "sys_platform": "linux", "platform_machine": "x86_64"}


def reasons(
    requirements: Sequence[tuple[str, str]], *distributions: Distribution
) -> dict[str, tuple[str, ...]]:
    """Return name of a distribution -> the reasons that it is in the image."""
    explained = explain(requirements, distributions, ENVIRONMENT)
    return {required.name: required.required_by for required in explained}


def test_requirement_of_the_code_has_its_import_as_reason() -> None:
    """A distribution that the code requires has the code's reasons, sorted."""
    assert reasons(
        [("numpy==1.0", "import at b.py:1"), ("NumPy", "import at a.py:1")],
        make_distribution("numpy"),
    ) == {"numpy": ("import at a.py:1", "import at b.py:1")}


def test_requirement_of_a_distribution_has_that_distribution_as_reason() -> None:
    """A distribution that another one requires has that distribution and version as its reason, at every depth."""
    assert reasons(
        [("a", "import")],
        make_distribution("a", version="1.2", requires=["B.b (>=1)"]),
        make_distribution("b-b", version="3", requires=["c[x]"]),
        make_distribution("c"),
    ) == {"a": ("import",), "b-b": ("a==1.2",), "c": ("b-b==3",)}


def test_answer_has_the_order_of_the_distributions() -> None:
    """The answer has one entry for each distribution, in the given order."""
    names = ["c", "a", "b"]
    explained = explain([], [make_distribution(name) for name in names], ENVIRONMENT)
    assert [required.name for required in explained] == names


def test_distribution_that_nothing_requires_has_no_reason() -> None:
    """A distribution that nothing requires has no reasons."""
    assert reasons([("a", "import")], make_distribution("a"), make_distribution("b")) == {
        "a": ("import",),
        "b": (),
    }


def test_requirement_that_is_not_installed_is_left_out() -> None:
    """A requirement for a distribution that is not in the image is ignored."""
    assert reasons(
        [("a", "import"), ("zz", "import")], make_distribution("a", requires=["yy"])
    ) == {"a": ("import",)}


@pytest.mark.parametrize(
    ("marker", "is_needed"),
    [
        ("python_version < '3.11'", True),
        ("python_version >= '3.11'", False),
        ("sys_platform == 'win32'", False),
        ("sys_platform == 'linux' and python_version > '3.9'", True),
        ("sys_platform == 'linux' and extra == 'x'", False),
    ],
)
def test_markers_are_those_of_the_image(marker: str, is_needed: bool) -> None:
    """A requirement of a distribution or of the code counts only if its marker holds for the image."""
    of_distribution = reasons(
        [("a", "import")], make_distribution("a", requires=[f"b; {marker}"]), make_distribution("b")
    )
    assert of_distribution["b"] == (("a==1.0",) if is_needed else ())
    of_code = reasons([(f"b; {marker}", "import")], make_distribution("b"))
    assert of_code["b"] == (("import",) if is_needed else ())


def test_extras_bring_their_requirements() -> None:
    """The requirements of an extra count if something requires the extra, and the answer has the extra."""
    ray = make_distribution(
        "ray",
        requires=["core", "web; extra == 'serve'", "board; extra == 'default'"],
        extras=["serve", "default"],
    )
    others = [make_distribution(name) for name in ("core", "web", "board")]
    assert explain([("ray[serve]", "import")], [ray, *others], ENVIRONMENT) == (
        RequiredDistribution("ray", ("serve",), ("import",)),
        RequiredDistribution("core", (), ("ray==1.0",)),
        RequiredDistribution("web", (), ("ray==1.0",)),
        RequiredDistribution("board", (), ()),
    )


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_extras_of_several_requirements_add_up(order: tuple[int, ...]) -> None:
    """Extras that different requirements ask for add up, whatever the order of the requirements."""
    requirements = [("a[y,x]", "one"), ("a", "two"), ("b", "three")]
    explained = explain(
        [requirements[number] for number in order],
        [
            make_distribution("a", requires=["c; extra == 'x'", "d; extra == 'z'"], extras=["x"]),
            make_distribution("b", requires=["a[z]"]),
            make_distribution("c"),
            make_distribution("d"),
        ],
        ENVIRONMENT,
    )
    assert explained == (
        RequiredDistribution("a", ("x", "y", "z"), ("b==1.0", "one", "two")),
        RequiredDistribution("b", (), ("three",)),
        RequiredDistribution("c", (), ("a==1.0",)),
        RequiredDistribution("d", (), ("a==1.0",)),
    )


@pytest.mark.parametrize("asked", ["all_extras", "All-Extras", "all.extras"])
@pytest.mark.parametrize("declared", ["all_extras", "All.Extras", "all-extras"])
def test_extras_are_compared_by_their_canonical_names(asked: str, declared: str) -> None:
    """The spelling of an extra does not matter, neither in a requirement nor in METADATA (PEP 685)."""
    explained = explain(
        [(f"a[{asked}]", "import")],
        [
            make_distribution("a", requires=[f"b; extra == '{declared}'"], extras=[declared]),
            make_distribution("b"),
        ],
        ENVIRONMENT,
    )
    assert explained == (
        RequiredDistribution("a", ("all-extras",), ("import",)),
        RequiredDistribution("b", (), ("a==1.0",)),
    )


def test_extra_made_of_the_distribution_s_own_extras() -> None:
    """An extra may require other extras of its own distribution, which is no reason for the distribution."""
    explained = explain(
        [("a[all]", "import")],
        [
            make_distribution("a", requires=["b; extra == 'x'", "a[x]; extra == 'all'"]),
            make_distribution("b"),
        ],
        ENVIRONMENT,
    )
    assert explained == (
        RequiredDistribution("a", ("all", "x"), ("import",)),
        RequiredDistribution("b", (), ("a==1.0",)),
    )


def test_cycle_ends() -> None:
    """Distributions that require one another, also with extras, each have their reasons."""
    assert reasons(
        [("a", "import")],
        make_distribution("a", requires=["b[x]"]),
        make_distribution("b", requires=["a[y]", "c; extra == 'x'"]),
        make_distribution("c", requires=["c", "b"]),
    ) == {"a": ("b==1.0", "import"), "b": ("a==1.0", "c==1.0"), "c": ("b==1.0",)}


def test_line_that_is_no_requirement_is_left_out() -> None:
    """A line of METADATA that is not valid by PEP 508 is ignored; the other lines count."""
    assert reasons(
        [("a", "import"), ("???", "import")],
        make_distribution("a", requires=["b (yes", "c"]),
        make_distribution("b"),
        make_distribution("c"),
    ) == {"a": ("import",), "b": (), "c": ("a==1.0",)}


def test_grammar_is_in_order_before_threads_parse_with_it() -> None:
    """An import of the module makes `packaging` simplify its grammar of markers, if it has one."""
    script = (
        "import slim_ray_image.core.wheels.requirements\n"
        "from packaging import markers\n"
        "print(getattr(getattr(markers, 'MARKER', None), 'streamlined', True))\n"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(
        command, env={"PYTHONPATH": PYTHONPATH}, capture_output=True, text=True, check=True
    )
    assert result.stdout == "True\n"
