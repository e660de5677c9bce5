"""Tests of core.closure.ray_extras."""

from __future__ import annotations

from typing import Collection, Optional

import pytest
from conftest import Golden, error_text

from slim_ray_image.core.closure.closure import ClosureRequirement, ImportEdge
from slim_ray_image.core.closure.ray_extras import (
    RayExtra,
    RayUse,
    check_removed,
    check_uncovered,
    decide_extras,
    explain_added,
    required_extras,
    uses_in_source,
    uses_of_imports,
    with_extras,
)

HEAD = "the head of a Ray cluster, its dashboard and its health checks"
UNNEEDED = "nothing in the code needs it"


def edge(module: str, line: int = 1, source: str = "src/a.py") -> ImportEdge:
    return ImportEdge("3rd:ray", module, source, line)


def use(module: str) -> RayUse:
    return RayUse(module, f"import of {module} at src/a.py:1")


def installed(
    *modules: str, required: Collection[str] = (), chosen: Optional[Collection[str]] = None
) -> list[str]:
    """Return the extras that are installed for imports of these modules."""
    extras = decide_extras([use(module) for module in modules], required, chosen)
    return [extra.name for extra in extras if extra.change != "dropped"]


def test_uses_are_the_first_imports_of_modules_of_ray() -> None:
    """Each module of Ray has the place of its first import, by file and line; other modules are left out."""
    edges = [
        edge("ray.data", 7),
        edge("ray.data", 3),
        edge("ray", 9, "src/b.py"),
        edge("raytracer", 1),
        edge("numpy", 1),
    ]
    assert uses_of_imports(edges) == (
        RayUse("ray", "import of ray at src/b.py:9"),
        RayUse("ray.data", "import of ray.data at src/a.py:3"),
    )


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("import ray\n\nray.data.range(3)\n", ["use of ray.data at src/a.py:3"]),
        ("import ray\nray.init('ray://head:10001')\n", ["use of ray.util.client at src/a.py:2"]),
        ('import ray\nray.init(f"ray://{head}")\n', ["use of ray.util.client at src/a.py:2"]),
        ("import ray\nmatch x:\n    case 1:\n        ray.workflow.run()\n", ["use of ray.workflow at src/a.py:4"]),
        ("import ray\nray.init(rf'ray://{head}')\n", ["use of ray.util.client at src/a.py:2"]),
        ("import ray\nprint(f'{head}ray://')\nprint(f'a ray:// {x}')\n", []),
        ("import ray\nf'{a}: {ray.data.range(3)!r:>{ray.tune.width}}'\n", ["use of ray.data at src/a.py:2", "use of ray.tune at src/a.py:2"]),
        ('import ray\nf"""\n{ray.data.a}\n"""\nray.data\n', ["use of ray.data at src/a.py:2"]),
        ("import ray\nf'{f\"{ray.data.a}\"}'\n", ["use of ray.data at src/a.py:2"]),
        ("import ray\nray.init(f\"{ray.data.read(c[\"path\"])}\")\n", ["use of ray.data at src/a.py:2"]),
        ("import ray\nx = (\n    ray  # it\n    .data\n)\n", ["use of ray.data at src/a.py:3"]),
        ("import ray\nf'{x.ray.data}{{ray.data}}'\n", []),
        ("import ray\n# ray.data\nx = 'ray.data'\nray.get(x)\nsting.ray.data\n", []),
        ("import ray\nx = (\n", []),
        ("import ray\nx = f'\0{ray}'\n", []),
        ("ray", []),
        ("ray.", []),
    ],
)  # fmt: skip
def test_packages_that_ray_loads_by_itself_are_seen_in_the_tokens(
    source: str, uses: list[str]
) -> None:
    """A use of `ray.data` without an import counts, and so does a client's address; comments and other texts do not."""
    assert [found.reason for found in uses_in_source("src/a.py", source.encode())] == uses


@pytest.mark.parametrize(
    ("modules", "extras"),
    [
        (["ray"], ["default"]),
        (["ray.job_submission"], ["default"]),
        (["ray.serve"], ["serve"]),
        (["ray.serve.handle.DeploymentHandle"], ["serve"]),
        (["ray.server"], ["default"]),
        (["ray.data.Dataset"], ["data", "default"]),
        (["ray.air"], ["data", "default"]),
        (["ray.train.torch"], ["data", "default", "train"]),
        (["ray.tune"], ["data", "default", "tune"]),
        (["ray.rllib"], ["data", "default", "rllib"]),
        (["ray.serve.llm"], ["llm"]),
        (["ray.data.llm"], ["llm"]),
        (["ray.util.client"], ["client", "default"]),
        (["ray.serve", "ray.data"], ["data", "serve"]),
    ],
)
def test_imports_bring_the_extras_that_their_modules_need(
    modules: list[str], extras: list[str]
) -> None:
    """The longest matching module decides the extras; the extra for a cluster's head is always included."""
    assert installed(*modules) == extras


def test_each_extra_says_what_was_done_and_why() -> None:
    """An extra is kept if required and needed, added if only the code needs it, dropped if nothing does."""
    extras = decide_extras([use("ray.serve"), use("ray.data")], ["serve", "Tune"])
    assert extras == (
        RayExtra("data", "added", "import of ray.data at src/a.py:1"),
        RayExtra("serve", "kept", "import of ray.serve at src/a.py:1"),
        RayExtra("tune", "dropped", UNNEEDED),
    )
    assert explain_added(extras) == ("ray[data] was added: import of ray.data at src/a.py:1",)
    assert decide_extras([use("ray")], ["all"]) == (
        RayExtra("all", "dropped", UNNEEDED),
        RayExtra("default", "added", HEAD),
    )


def test_extras_that_imports_do_not_tell_stay_as_required() -> None:
    """Extras that imports do not decide, such as those for profiling, stay as required."""
    assert installed("ray.serve", required=["observability"]) == ["observability", "serve"]


def test_what_the_target_chooses_overrides_imports_and_requirement() -> None:
    """The list of the target, even an empty one, overrides imports and requirement."""
    assert installed("ray.data", required=["serve"], chosen=["serve-grpc"]) == ["serve-grpc"]
    assert decide_extras([use("ray.data")], ["serve"], []) == (
        RayExtra("serve", "dropped", "`ray_extras` does not name it"),
    )


def test_every_requirement_of_ray_gets_the_extras() -> None:
    """A requirement of Ray gets the extras and keeps version and marker; others stay unchanged."""
    requirements = [
        ClosureRequirement("numpy", "import"),
        ClosureRequirement("Ray[serve]==2.48.0; python_version < '3.14'", "import"),
        ClosureRequirement("ray[tune,all]>=2", "import"),
        ClosureRequirement("raytracer[all]", "import"),
    ]
    assert required_extras(requirements) == {"serve", "tune", "all"}
    assert required_extras(requirements[:1]) is None
    extras = decide_extras([use("ray.serve")], ["serve", "tune", "all"])
    assert [found.text for found in with_extras(requirements, extras)] == [
        "numpy",
        'Ray[serve]==2.48.0; python_version < "3.14"',
        "ray[serve]>=2",
        "raytracer[all]",
    ]


def test_module_that_was_removed_is_an_error(golden: Golden) -> None:
    """An import of a module that Ray has removed is an error before anything is built."""
    uses = [use("ray.workflow"), use("ray.util.sgd.torch"), use("ray.util.queue")]
    golden.check(
        "errors/closure/ray-module-removed.txt",
        error_text(lambda: check_removed("src/app:image", uses)),
    )
    check_removed("src/app:image", [use("ray.data")])


def test_module_whose_distribution_no_extra_brings_is_an_error(golden: Golden) -> None:
    """A module of Ray without its distribution is an error that names both, with the import."""
    uses = [use("ray.util.joblib.register_ray"), use("ray.util.dask"), use("ray.util.collective")]
    golden.check(
        "errors/closure/ray-module-uncovered.txt",
        error_text(lambda: check_uncovered("src/app:image", uses, {"ray", "numpy"})),
    )
    check_uncovered("src/app:image", uses, {"ray", "numpy", "dask", "joblib"})


def test_deep_expression_of_a_string_is_looked_into() -> None:
    """A use of Ray in an f-string is found, however deeply its expression is nested."""
    deep = " + ".join(["ray.data.range(3)"] * 3000)
    source = f'import ray\nx = f"{{{deep}}}"\n'.encode()
    assert [use.module for use in uses_in_source("a.py", source)] == ["ray.data"]
