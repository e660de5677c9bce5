"""The page that tells every field and option is that of the code."""

from __future__ import annotations

from pathlib import Path

from conftest import Golden
from docs.reference import reference

from slim_ray_image.target_types import SlimRayImageTarget


def test_reference_is_that_of_the_code(golden: Golden) -> None:
    """docs/reference.md is what the help texts and defaults make; `pytest --update-golden` writes it."""
    golden.check_page(Path("docs/reference.md"), reference())


def test_reference_tells_every_field_and_option() -> None:
    """None is left out, whoever adds it."""
    headings = {line for line in reference().splitlines() if line.startswith("### ")}
    fields = {f"### `{field.alias}`" for field in SlimRayImageTarget.core_fields}
    assert fields <= headings
    assert {"### `[slim-ray].outputs`", "### `[slim-ray].tailor`"} <= headings - fields
