"""Tests that the same commit gives the same image on every machine."""

from __future__ import annotations

import pytest
from harness.other_machine import assert_same
from harness.repository import PackagedImage, Repository
from needs import needs

pytestmark = needs("base")


@pytest.fixture(scope="module")
def echo_there(other_machine: Repository) -> PackagedImage:
    """The image of echo, the first image that the other machine packages."""
    return other_machine.package("src/services/echo:image")


@pytest.fixture(scope="module")
def counter_there(other_machine: Repository, echo_there: PackagedImage) -> PackagedImage:
    """The image of a service that needs one distribution more than echo, packaged after echo."""
    other_machine.write("src/services/counter/__init__.py", "")
    app = other_machine.read("src/services/echo/app.py")
    other_machine.write("src/services/counter/app.py", f"{app}\nimport redis\n")
    other_machine.write(
        "src/services/counter/BUILD",
        'python_sources()\nslim_ray_image(name="image", serve_app="services.counter.app:app")\n',
    )
    return other_machine.package("src/services/counter:image")


def written_layers(image: PackagedImage) -> set[str]:
    return {step for step in image.run.started if step.startswith("Write the layer")}


def own_digests(image: PackagedImage) -> set[str]:
    return {row["digest"] for row in image.own_rows}


@pytest.mark.parametrize("service", ["echo"])
def test_image_is_the_same_on_another_machine(
    service: str, request: pytest.FixtureRequest, echo_there: PackagedImage
) -> None:
    """With another path, home, umask, time zone, locale, hash seed and Python, and empty caches, the image is equal."""
    assert_same(echo_there, request.getfixturevalue(service))


def test_packaging_reuses_the_layers_of_another_service(
    echo_there: PackagedImage, counter_there: PackagedImage
) -> None:
    """With empty caches, each layer of echo is written; then only the layers of another service that echo lacks."""
    new = own_digests(counter_there) - own_digests(echo_there)
    assert "redis" in counter_there.distributions - echo_there.distributions
    assert len(written_layers(echo_there)) == len(echo_there.own_rows)
    assert len(written_layers(counter_there)) == len(new) < len(counter_there.own_rows)
    assert written_layers(echo_there).isdisjoint(written_layers(counter_there))
