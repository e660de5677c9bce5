"""Tests of core.python.module_uses."""

from __future__ import annotations

import pytest

from slim_ray_image.core.python.module_uses import find_uses


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("import ray.data", {"ray.data"}),
        ("from ray import data", {"ray.data"}),
        ("from ray.train.torch import x", {"ray.train.torch.x"}),
        ("import ray\nray.data.range(3)", {"ray.data", "ray.data.range"}),
        ("import ray as r\nr.data", {"ray.data"}),
        ("from ray import tune as t\nt.Tuner", {"ray.tune", "ray.tune.Tuner"}),
        ("def f():\n    import ray.rllib", {"ray.rllib"}),
        ("x = importlib.import_module('ray.tune')", {"ray.tune"}),
        ("x = 'ray.serve.llm:build_openai_app'", {"ray.serve.llm"}),
        ("import xray.data, rays.data\narray.data", set()),
        ("ray = 3\nray.data", set()),
        ("'''Of ray.data, see there.'''", set()),
        ("from .ray import data", set()),
        ("ray (", set()),
    ],
)
def test_uses_of_a_module(source: str, uses: set[str]) -> None:
    """Imports, attributes of imported names, and names in strings count; other objects of the same name do not."""
    assert find_uses("app.py", source.encode(), "ray") == uses


def test_files_that_are_no_python_use_what_they_spell() -> None:
    """In other files than Python's, such as a Serve config, every dotted name counts as a use."""
    content = b"applications:\n- import_path: ray.serve.llm:build_openai_app\n- x: xray.data\n"
    assert find_uses("serve.yaml", content, "ray") == {"ray.serve.llm"}


def test_long_chain_is_used_by_its_first_names() -> None:
    """In a chain of very many attributes, the modules at its start are found."""
    source = b"import ray\nx = ray.data" + b".b" * 2500 + b"\n"
    assert {"ray.data", "ray.data.b"} <= find_uses("a.py", source, "ray")
