"""Tests of core.python.applications."""

from __future__ import annotations

from typing import Optional

import pytest

from slim_ray_image.core.python.applications import bound_application, may_bind_application

SERVE = "from ray import serve\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(f"{SERVE}app = Echo.bind()", "app", id="plain"),
        pytest.param(f"{SERVE}model = Echo.bind(1, size=2)", "model", id="another name"),
        pytest.param(f"{SERVE}app: serve.Application = Echo.bind()", "app", id="annotated"),
        pytest.param(f"{SERVE}app = Echo.options(num_replicas=2).bind()", "app", id="options"),
        pytest.param(f"{SERVE}app = other = Echo.bind()", "app", id="two targets"),
        pytest.param("import ray.serve\napp = E.bind()", "app", id="import ray.serve"),
        pytest.param("import ray.serve as s\napp = E.bind()", "app", id="import as"),
        pytest.param("from ray import data, serve\napp = E.bind()", "app", id="one of several"),
        pytest.param("from ray.serve import deployment\napp = E.bind()", "app", id="from serve"),
        pytest.param("from ray.serve.handle import H\napp = E.bind()", "app", id="from below"),
        pytest.param(f"{SERVE}app = A.bind()\nother = B.bind()", "app", id="app comes first"),
        pytest.param(f"{SERVE}a = A.bind()\napp = B.bind(a)\nc = C.bind()", "app", id="app wins"),
        pytest.param(f"{SERVE}model = M.bind()\ningress = I.bind(model)", "ingress", id="last"),
        pytest.param("app = Echo.bind()", None, id="no serve"),
        pytest.param("from .ray import serve\napp = E.bind()", None, id="another ray"),
        pytest.param("from ray import servers\napp = E.bind()", None, id="not serve"),
        pytest.param("from ray import *\napp = E.bind()", None, id="star"),
        pytest.param("import ray.serverless\napp = E.bind()", None, id="longer module"),
        pytest.param(f"{SERVE}def build():\n    app = Echo.bind()\n", None, id="in a function"),
        pytest.param(f"{SERVE}Echo.bind()", None, id="not assigned"),
        pytest.param(f"{SERVE}app.x = Echo.bind()", None, id="attribute"),
        pytest.param(f"{SERVE}app = bind()", None, id="function"),
        pytest.param(f"{SERVE}app = Echo.bind", None, id="not called"),
        pytest.param(f"{SERVE}app: object", None, id="no value"),
        pytest.param(f"{SERVE}'''\napp = Echo.bind()\n'''", None, id="in a text"),
        pytest.param(f"{SERVE}app = Echo.bind(", None, id="not valid"),
        pytest.param(f"{SERVE}app = Echo.bind()\0", None, id="null byte"),
    ],
)
def test_application_is_what_a_module_binds(source: str, expected: Optional[str]) -> None:
    """If a module imports Serve, its application is `app`, or else the last name that it binds at the top level."""
    assert bound_application(source.encode()) == expected
    if expected:
        assert may_bind_application(source.encode())


@pytest.mark.parametrize("word", [b".bind(", b"ray", b"serve"])
def test_file_without_the_words_is_not_parsed(word: bytes) -> None:
    """A file that lacks one of the words is not worth parsing."""
    source = f"{SERVE}app = Echo.bind()".encode()
    assert not may_bind_application(source.replace(word, b"_"))
