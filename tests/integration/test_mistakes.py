"""Tests that a mistake in the code or the BUILD file gives one clear error and leaves dist/ unchanged."""

from __future__ import annotations

import pytest
from harness.failures import assert_fails
from harness.repository import Repository
from needs import needs

pytestmark = needs("base")


@pytest.mark.parametrize(
    ("app", "serve_app", "parts"),
    [
        pytest.param(
            "app = 1\n",
            "services.mistaken.app:application",
            [
                "The module services.mistaken.app does not define 'application'",
                "src/services/mistaken/app.py defines app",
            ],
            id="attribute",
        ),
        pytest.param(
            "def app(:\n",
            "services.mistaken.app:app",
            ["src/services/mistaken/app.py is not valid Python 3.10", "line 1: "],
            id="syntax",
        ),
        pytest.param(
            "app = 1\n",
            "services.mistaken.main:app",
            ["No target owns the module services.mistaken.main", "services.mistaken.main:app"],
            id="module",
        ),
    ],
)
def test_serve_app_that_is_not_there_is_an_error(
    app: str, serve_app: str, parts: list[str], repository: Repository
) -> None:
    """The error names the file, and the module or attribute that it lacks."""
    repository.write("src/services/mistaken/app.py", app)
    repository.write(
        "src/services/mistaken/BUILD",
        f'python_sources()\nslim_ray_image(name="image", serve_app="{serve_app}")\n',
    )
    error = assert_fails(repository, "src/services/mistaken:image")
    for part in parts:
        assert part in error, error
    assert not repository.output_of("src/services/mistaken:image").exists()
