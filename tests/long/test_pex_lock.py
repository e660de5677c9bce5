"""Tests that a Pex lockfile, which Pants generates from an index with a service's pins, gives the service's image."""

from __future__ import annotations

import pytest
from harness.repository import PackagedImage, Repository
from harness.shapes import RESOLVE, Shapes, generate_pex_lock, make_shapes
from needs import needs

pytestmark = needs("base")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    return make_shapes(tmp_path_factory.mktemp("shapes"))


def test_pex_lockfile_of_a_real_service_gives_its_image(
    repository: Repository, shapes: Shapes, echo: PackagedImage
) -> None:
    """A Pex lockfile with the versions of a service's image gives the same image."""
    pins = [f"{row['name']}=={row['version']}" for row in echo.description["requirements"]]
    repository.write(
        "src/pins/BUILD",
        f'python_requirement(name="pins", requirements={pins!r}, resolve="{RESOLVE}")\n',
    )
    repository.write("3rdparty/python/ray.lock", generate_pex_lock(repository, shapes))
    by_pex = repository.package(echo.target, *shapes.options())
    assert by_pex.description["manifest_digest"] == echo.description["manifest_digest"]
