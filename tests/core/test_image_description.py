"""Tests of core.image.image_description."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Sequence

import pytest
from conftest import (
    GZIP_LAYER,
    Golden,
    as_json,
    digest_of,
    make_base_config,
    make_base_manifest,
    make_distribution,
)

from slim_ray_image.core.base.base_facts import LayerSize
from slim_ray_image.core.base.base_layers import base_layers
from slim_ray_image.core.base.base_manifest import parse_base_image
from slim_ray_image.core.closure.closure import ClosureFile
from slim_ray_image.core.closure.ray_extras import RayExtra
from slim_ray_image.core.image.image_description import (
    DescribedBase,
    DescribedPruned,
    DescribedWarning,
    ImageDescription,
    Totals,
    describe_applications,
    describe_files,
    describe_layers,
    describe_pruned,
    describe_requirements,
    describe_warnings,
    read_description,
    summarize,
    total,
)
from slim_ray_image.core.image.oci import (
    BuiltLayer,
    Descriptor,
    ImageSettings,
    append_layers,
)
from slim_ray_image.core.layers.distributions_layer import Saved
from slim_ray_image.core.layers.pruning import Pruned
from slim_ray_image.core.platforms import LINUX_AMD64
from slim_ray_image.core.python.dynamic_imports import DynamicImport
from slim_ray_image.core.python.import_statements import ImportStatement
from slim_ray_image.core.serve.import_paths import parse_import_path
from slim_ray_image.core.serve.serve_config import Application, ServeConfig
from slim_ray_image.core.serve.served_application import ServedApplication
from slim_ray_image.core.wheels.requirements import RequiredDistribution


def describe(
    *unfollowed: DynamicImport,
    missing: Sequence[ImportStatement] = (),
    pruned: Sequence[Pruned] = (),
) -> ImageDescription:
    """Return the description of an image with two base layers, Ray, two small distributions and one file."""
    config = as_json(make_base_config())
    base = parse_base_image(
        "python:3.10-slim",
        "localhost:5000/python",
        as_json(make_base_manifest(config)),
        config,
        LINUX_AMD64,
    )
    layers = [
        BuiltLayer(
            "ray",
            "distribution",
            Descriptor(GZIP_LAYER, digest_of(b"ray"), 1000),
            digest_of(b"ray tar"),
            unpacked_bytes=3000,
            file_count=30,
            distributions=("ray",),
            compressed_bytes_of=(("ray", 1000),),
            unpacked_bytes_of=(("ray", 2900),),
        ),
        BuiltLayer(
            "distributions",
            "distributions",
            Descriptor(GZIP_LAYER, digest_of(b"rest"), 300),
            digest_of(b"rest tar"),
            unpacked_bytes=700,
            file_count=7,
            distributions=("click", "idna"),
            # A part of Ray that has no layer of its own is among the rest.
            compressed_bytes_of=(("click", 100), ("idna", 90), ("ray", 100)),
            unpacked_bytes_of=(("click", 100), ("idna", 300), ("ray", 300)),
        ),
        BuiltLayer(
            "sources",
            "sources",
            Descriptor(GZIP_LAYER, digest_of(b"sources"), 20),
            digest_of(b"sources tar"),
            unpacked_bytes=50,
            file_count=1,
        ),
    ]
    settings = ImageSettings("1000:100", "/app", (), (), (), None, None, None)
    files = [ClosureFile("app/app.py", "src/app/app.py", 50, "`serve_app`", "0" * 64, False)]
    image = append_layers(base, layers, settings, LINUX_AMD64)
    rows = describe_layers([*base_layers(base, [LayerSize(20, 2), LayerSize(10, 1)]), *layers])
    return ImageDescription(
        target="src/app:image",
        applications=describe_applications(parse_import_path("app.app:app"), None),
        serve_config=None,
        reference=("registry.example.com/app:1",),
        platform=str(image.platform),
        manifest_digest=image.manifest_descriptor.digest,
        config_digest=image.config_descriptor.digest,
        base=DescribedBase(
            base.reference, base.manifest_digest, base.source, "3.10.13", "glibc 2.36"
        ),
        layers=rows,
        requirements=describe_requirements(
            [
                make_distribution("click", unpacked_bytes=400),
                make_distribution("idna", unpacked_bytes=300),
                make_distribution("ray", version="2.48.0", unpacked_bytes=3000),
            ],
            [
                RequiredDistribution("click", (), ("ray==2.48.0",)),
                RequiredDistribution("idna", (), ()),
                RequiredDistribution("ray", ("serve",), ("import at src/app/app.py:1",)),
            ],
            layers,
        ),
        files=describe_files(files),
        pruned=describe_pruned(pruned),
        ray_extras=(RayExtra("serve", "kept", "import of ray.serve at src/app/app.py:1"),),
        totals=total(rows),
        warnings=describe_warnings(unfollowed, missing, files),
    )


def description() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(describe().to_json())
    return value


def test_description_is_one_spelling_of_json() -> None:
    """image.json has sorted keys, an indent for people and a line break at its end, and is equal for equal images."""
    text = describe().to_json().decode()
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2) + "\n"
    assert describe() == describe()


def test_image_json_has_a_row_of_each_kind(golden: Golden) -> None:
    """The golden file is a complete image.json."""
    pruned = [Pruned("java", "ray", Saved(32_900_000, 1))]
    written = describe(*unfollowed(12), missing=MISSING, pruned=pruned).to_json().decode()
    golden.check("image.json", written.rstrip("\n"))


def test_description_is_read_as_it_was_written() -> None:
    """Reading image.json returns the same description that was written; an unknown key is refused."""
    written = describe(*unfollowed(3), missing=MISSING, pruned=[Pruned("java", "ray", Saved(1, 1))])
    assert read_description(written.to_json()) == written
    more = {**json.loads(written.to_json()), "more": 1}
    with pytest.raises(ValueError, match="ImageDescription has other keys than it should: more"):
        read_description(json.dumps(more))


def test_description_has_the_keys_of_schema_version_1() -> None:
    """image.json has exactly the keys of schema version 1."""
    value = description()
    assert value["schema_version"] == 1
    assert sorted(value) == [
        "applications",
        "base",
        "config_digest",
        "files",
        "layers",
        "manifest_digest",
        "platform",
        "pruned",
        "ray_extras",
        "reference",
        "requirements",
        "schema_version",
        "serve_config",
        "target",
        "totals",
        "warnings",
    ]


def test_description_says_what_was_decided_of_the_extras_of_ray() -> None:
    """Each extra of Ray has the decision and its reason."""
    assert description()["ray_extras"] == [
        {
            "name": "serve",
            "change": "kept",
            "reason": "import of ray.serve at src/app/app.py:1",
        }
    ]


def test_description_names_the_application_that_the_image_serves() -> None:
    """An application of an import path has Ray Serve's default name and route; a job has no application."""
    (application,) = description()["applications"]
    assert application == {
        "name": "default",
        "route_prefix": "/",
        "import_path": "app.app:app",
        "args": [],
    }
    assert describe_applications(None, None) == ()


def test_applications_of_a_config_have_rows_in_its_order() -> None:
    """A row has name and route, and the names of a builder's arguments, but not their values, which may be secret."""
    config = ServeConfig(
        "",
        (
            Application("b", "/b", parse_import_path("app.b:build"), ("sort", "limit"), "a.yaml:3"),
            Application("a", None, parse_import_path("app.a:app"), (), "a.yaml:9"),
        ),
        (8000,),
    )
    assert describe_applications(None, config) == (
        ServedApplication("b", "/b", "app.b:build", ("sort", "limit")),
        ServedApplication("a", None, "app.a:app", ()),
    )


def test_description_names_target_references_and_base() -> None:
    """The description has the target, the references, the platform, and the base with its source."""
    value = description()
    assert (value["target"], value["reference"], value["platform"], value["pruned"]) == (
        "src/app:image",
        ["registry.example.com/app:1"],
        "linux/amd64",
        [],
    )
    config = as_json(make_base_config())
    assert value["base"] == {
        "reference": "python:3.10-slim",
        "digest": digest_of(as_json(make_base_manifest(config))),
        "source": "localhost:5000/python",
        "python_version": "3.10.13",
        "libc": "glibc 2.36",
    }


def test_description_has_a_row_for_each_layer_of_the_manifest() -> None:
    """Layers are in the manifest's order; the base's layers come first and have the kind `base`."""
    rows = description()["layers"]
    assert rows[1] == {
        "name": "base 2",
        "kind": "base",
        "digest": digest_of(b"blob 2"),
        "diff_id": digest_of(b"tar 2"),
        "media_type": GZIP_LAYER,
        "compressed_bytes": 6,
        "unpacked_bytes": 10,
        "file_count": 1,
        "distributions": [],
    }
    assert rows[3] == {
        "name": "distributions",
        "kind": "distributions",
        "digest": digest_of(b"rest"),
        "diff_id": digest_of(b"rest tar"),
        "media_type": GZIP_LAYER,
        "compressed_bytes": 300,
        "unpacked_bytes": 700,
        "file_count": 7,
        "distributions": ["click", "idna"],
    }
    assert [(row["name"], row["kind"]) for row in rows] == [
        ("base 1", "base"),
        ("base 2", "base"),
        ("ray", "distribution"),
        ("distributions", "distributions"),
        ("sources", "sources"),
    ]


def test_description_has_each_distribution_with_its_reason() -> None:
    """A requirement has its version, its extras, the reasons for it, and its sizes in the image."""
    requirements = description()["requirements"]
    assert requirements[2] == {
        "name": "ray",
        "version": "2.48.0",
        "extras": ["serve"],
        "required_by": ["import at src/app/app.py:1"],
        "unpacked_bytes": 3200,
        "compressed_bytes": 1100,
    }
    assert [(r["name"], r["compressed_bytes"]) for r in requirements] == [
        ("click", 100),
        ("idna", 90),
        ("ray", 1100),
    ]


def test_description_has_each_file_with_its_reason() -> None:
    """A file has its path in the image, its source, its size, and the reason for it."""
    assert description()["files"] == [
        {
            "path": "app/app.py",
            "source": "src/app/app.py",
            "bytes": 50,
            "reason": "`serve_app`",
        }
    ]


def test_totals_are_the_sums_of_the_rows() -> None:
    """Totals are sums over all layers, and over the layers that are not the base's."""
    value = description()
    assert value["totals"] == {
        "compressed_bytes": 1332,
        "unpacked_bytes": 3780,
        "app_compressed_bytes": 1320,
        "app_unpacked_bytes": 3750,
    }
    for field in ("compressed_bytes", "unpacked_bytes"):
        assert value["totals"][field] == sum(row[field] for row in value["layers"])


def test_summary_says_what_was_built() -> None:
    """The summary has digest, platform, names, sizes, and the numbers of distributions, files and layers."""
    value = replace(describe(), totals=Totals(83_449_999, 264_050_001, 0, 0))
    assert summarize(value) == (
        f"Image {value.manifest_digest} for linux/amd64",
        "Named registry.example.com/app:1",
        "83.4 MB compressed, 264.1 MB unpacked; 3 distributions and 1 file in 3 layers on python:3.10-slim",
    )


def test_what_was_pruned_is_told() -> None:
    """image.json has a row for each rule and distribution; the summary has their sum."""
    value = describe(
        pruned=[
            Pruned("java", "ray", Saved(32_900_000, 1)),
            Pruned("tests", "idna", Saved(1_000_000, 9)),
            Pruned("tests", "ray", Saved(60_000, 2)),
        ]
    )
    assert value.pruned[0] == DescribedPruned("java", "ray", bytes=32_900_000, files=1)
    assert summarize(value)[3:] == ("Pruned 34.0 MB by 2 rules; see `pruned` in image.json",)


def unfollowed(*lines: int) -> list[DynamicImport]:
    return [DynamicImport("app/app.py", n, "import", f"import_module(x{n})") for n in lines]


def test_description_has_each_import_that_cannot_be_followed() -> None:
    """A warning has path, line, kind and text of a call; warnings are sorted."""
    value = json.loads(describe(*unfollowed(12, 3)).to_json())
    assert value["warnings"] == [
        {"path": "src/app/app.py", "line": n, "kind": "import", "text": f"import_module(x{n})"}
        for n in (3, 12)
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([1], "1 import cannot be followed: src/app/app.py:1"),
        (
            [1, 2, 3],
            "3 imports cannot be followed: src/app/app.py:1, src/app/app.py:2, src/app/app.py:3",
        ),
        (
            [1, 2, 3, 4],
            "4 imports cannot be followed: src/app/app.py:1, src/app/app.py:2, src/app/app.py:3, ...",
        ),
    ],
    ids=["one", "three", "more"],
)
def test_summary_counts_the_imports_that_cannot_be_followed(
    lines: list[int], expected: str
) -> None:
    """One line counts the imports and names the first three places."""
    summary = summarize(describe(*unfollowed(*lines)))
    assert summary[3:] == (f"{expected}; see `warnings` in image.json",)


MISSING = [ImportStatement("app/app.py", 5, "import toolz", "toolz")]


def test_description_has_each_import_of_what_is_not_there() -> None:
    """An import of a missing module is a warning of its own kind, sorted among the others."""
    rows = describe(*unfollowed(12, 3), missing=MISSING).warnings
    assert [row.line for row in rows] == [3, 5, 12]
    assert rows[1] == DescribedWarning("src/app/app.py", 5, "missing", "import toolz")


def test_summary_tells_imports_of_what_is_not_there_apart() -> None:
    """Imports of missing modules have a line of their own, before imports that cannot be followed."""
    summary = summarize(describe(*unfollowed(3), missing=MISSING))
    assert summary[3:] == (
        "1 import of a module that the image lacks: src/app/app.py:5; see `warnings` in image.json",
        "1 import cannot be followed: src/app/app.py:3; see `warnings` in image.json",
    )
