"""Tests that the generated pages agree with the code."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from conftest import GOLDEN, ROOT, Golden
from docs.image_schema import image_schema
from docs.reference import reference

from slim_ray_image.target_types import SlimRayImageTarget


def test_reference_is_that_of_the_code(golden: Golden) -> None:
    """docs/reference.md is generated from help texts and defaults; `pytest --update-golden` writes the file."""
    golden.check_page(Path("docs/reference.md"), reference())


def test_schema_of_image_json_is_that_of_the_code(golden: Golden) -> None:
    """docs/image.schema.json is generated from the dataclasses; `pytest --update-golden` writes the file."""
    golden.check_page(Path("docs/image.schema.json"), image_schema())


def test_image_json_is_valid_by_its_schema() -> None:
    """The golden image.json, which has a row of each kind, is valid; without a key of the schema it is not."""
    schema = json.loads(image_schema())
    value = json.loads((ROOT / GOLDEN / "image.json").read_text())
    assert all(value[key] for key in ("applications", "layers", "pruned", "warnings", "files"))
    jsonschema.validate(value, schema)
    del value["layers"][0]["diff_id"]
    with pytest.raises(jsonschema.ValidationError, match="'diff_id' is a required property"):
        jsonschema.validate(value, schema)


def test_reference_tells_every_field_and_option() -> None:
    """The reference has a heading for every field, and for the options."""
    headings = {line for line in reference().splitlines() if line.startswith("### ")}
    fields = {f"### `{field.alias}`" for field in SlimRayImageTarget.core_fields}
    assert fields <= headings
    assert {"### `[slim-ray].outputs`", "### `[slim-ray].tailor`"} <= headings - fields
