"""Tests of the files that rules of `prune` remove from images, and of the parts of Ray that services share."""

from __future__ import annotations

import csv
import posixpath
from typing import Any, Mapping

import pytest
from harness.image_layout import Layer, path_of
from harness.repository import PackagedImage, Repository
from needs import needs

pytestmark = needs("base")

SITE_PACKAGES = "/opt/venv/lib/python3.10/site-packages"
APP = """\
from ray import serve

@serve.deployment
class Rows:
    def __call__(self, request):
        import ray
        return ray.data.range(3).count()

app = Rows.bind()
"""


def write_rows(repository: Repository, fields: str = "") -> str:
    """Write a service that uses ray.data only by an attribute, and return its image's address."""
    folder = "src/services/rows"
    repository.write(f"{folder}/__init__.py", "")
    repository.write(f"{folder}/app.py", APP)
    repository.write(
        f"{folder}/BUILD",
        "python_sources()\n"
        'slim_ray_image(name="image", serve_app="services.rows.app:app", '
        f'ray_extras=["serve"], {fields})\n',
    )
    return f"{folder}:image"


@pytest.fixture
def rows(repository: Repository, echo: PackagedImage) -> PackagedImage:
    """The image of the service that uses ray.data, packaged after echo, with patterns of `exclude_files`."""
    fields = 'exclude_files=["idna/uts46data.py", "/usr/local/bin/serve"]'
    return repository.package(write_rows(repository, fields))


def layers_by_name(image: PackagedImage) -> dict[str, Layer]:
    layers = image.layout.layers[-len(image.own_rows) :]
    return {row["name"]: layer for row, layer in zip(image.own_rows, layers)}


def paths_of(image: PackagedImage) -> set[str]:
    """Return the paths of all files of our own layers."""
    layers = layers_by_name(image).values()
    return {
        path_of(entry)
        for layer in layers
        for entry in image.layout.entries(layer)
        if not entry.isdir()
    }


def pruned(image: PackagedImage) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    return {(row["rule"], row["distribution"]): row for row in image.description["pruned"]}


def test_ray_is_one_layer_for_services_that_use_other_parts_of_it(
    repository: Repository, echo: PackagedImage
) -> None:
    """A service that uses ray.data has a further layer with this part; Ray's own layer is the same, without it."""
    rows = repository.package(write_rows(repository))
    by_name = {image.target: {row["name"]: row for row in image.own_rows} for image in (echo, rows)}
    of_echo, of_rows = by_name[echo.target], by_name[rows.target]
    assert of_rows["ray-data-train"]["kind"] == "part"
    assert "ray-data-train" not in of_echo
    for name in ("ray", "grpcio", "runtime"):
        assert of_rows[name]["digest"] == of_echo[name]["digest"]
    data = f"{SITE_PACKAGES}/ray/data/__init__.py"
    assert data in paths_of(rows) and data not in paths_of(echo)
    assert f"{SITE_PACKAGES}/ray/rllib/__init__.py" not in paths_of(rows)
    assert (
        pruned(echo)["ray-libraries", "ray"]["bytes"]
        > pruned(rows)["ray-libraries", "ray"]["bytes"]
    )


def test_excluded_files_are_in_no_layer(echo: PackagedImage, rows: PackagedImage) -> None:
    """A module is removed with its bytecode, a command's link alone; layers without excluded files stay shared."""
    digests = [{row["name"]: row["digest"] for row in image.own_rows} for image in (echo, rows)]
    assert digests[0]["grpcio"] == digests[1]["grpcio"]
    left = paths_of(rows)
    assert not [path for path in left if "uts46data" in path]
    assert "/usr/local/bin/serve" not in left and "/opt/venv/bin/serve" in left


def test_every_file_that_record_lists_is_there(echo: PackagedImage) -> None:
    """All files that RECORD lists are in the image, whatever the rules removed."""
    left = paths_of(echo)
    # Without the RECORD files of the base, and of distributions that Ray vendors.
    records = {
        path: content
        for path, content in echo.layout.read(".dist-info/RECORD").items()
        if posixpath.dirname(posixpath.dirname(path)) == SITE_PACKAGES
    }
    for content in records.values():
        for row in csv.reader(content.decode().splitlines()):
            assert posixpath.normpath(f"{SITE_PACKAGES}/{row[0]}") in left
    assert len(records) == len(echo.distributions)


def test_default_rules_leave_what_is_needed(echo: PackagedImage) -> None:
    """The default rules remove files and no opt-in rule does; the output reports it, and the image is small."""
    rules = {rule for rule, _ in pruned(echo)}
    assert {"java", "ray-libraries", "agent-aiohttp", "tests", "type-stubs"} <= rules
    assert not rules & {"dashboard-ui", "debug-symbols"}
    assert "Pruned " in echo.run.output
    assert echo.description["totals"]["app_unpacked_bytes"] < 240_000_000


def test_pattern_that_matches_nothing_ends_the_build(repository: Repository) -> None:
    """A pattern of `exclude_files` that matches nothing is an error."""
    name = "src/services/echo/BUILD"
    repository.write(
        name,
        repository.read(name).replace('name="image",', 'name="image", exclude_files=["nope"],'),
    )
    run = repository.pants("package", "src/services/echo:image", check=False)
    assert run.exit_code != 0
    assert (
        "Patterns in `exclude_files` of src/services/echo:image match no path of its layers."
        in run.output
    )
