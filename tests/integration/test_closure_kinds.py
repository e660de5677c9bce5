"""Tests of `pants package` with large files and with imports that cannot be followed."""

from __future__ import annotations

from uuid import uuid4

from harness.repository import Repository
from harness.targets import write_files
from needs import needs

pytestmark = needs("base")

# --- Large files


def test_large_files_are_a_layer_that_an_edit_of_code_leaves(repository: Repository) -> None:
    """Weights are in a layer of their own, below the sources; the same file is the same layer in another service."""
    weights = uuid4().hex * 40_000  # No earlier run has packaged this content.
    for service in ("one", "two"):
        write_files(
            repository,
            f"weights/{service}",
            {
                "BUILD": """\
                    python_sources()
                    slim_ray_image(
                        name="image", entry_point="driver.py", dependencies=["src/weights/model:weights"]
                    )
                    """,
                "driver.py": f'print("{service}")\n',
            },
        )
    write_files(
        repository,
        "weights/model",
        {"BUILD": 'resource(name="weights", source="weights.bin")\n', "weights.bin": weights},
    )
    one = repository.package("src/weights/one:image")
    rows = {row["name"]: row for row in one.own_rows}
    assert list(rows)[-2:] == ["files", "sources"]
    assert (rows["files"]["kind"], rows["files"]["unpacked_bytes"]) == ("files", len(weights))
    two = repository.package("src/weights/two:image")
    repository.write("src/weights/one/driver.py", f'print("{uuid4()}")\n')
    edited = repository.package("src/weights/one:image")
    assert [s for s in edited.run.started if s.startswith("Write the layer")] == [
        f"Write the layer of 1 first-party files of {one.target}"
    ]
    for other in (two, edited):
        digests = {row["name"]: row["digest"] for row in other.own_rows}
        assert digests["files"] == rows["files"]["digest"]
        assert digests["sources"] != rows["sources"]["digest"]


# --- Imports by name


def test_imports_that_cannot_be_followed_are_told(repository: Repository) -> None:
    """image.json and the output list imports that cannot be followed, without modules that `dependencies` provide."""
    write_files(
        repository,
        "by_name",
        {
            "BUILD": """\
                python_sources()
                slim_ray_image(name="image", entry_point="driver.py", dependencies=["./plugin.py"])
                """,
            "driver.py": """\
                import sys
                from importlib import import_module as load

                load("by_name.plugin")
                load("json.tool")
                load("by_name.other")
                load(sys.argv[1])
                """,
            "plugin.py": "",
            "other.py": "",
        },
    )
    image = repository.package("src/by_name:image")
    path = "src/by_name/driver.py"
    assert image.description["warnings"] == [
        {"path": path, "line": 6, "kind": "import", "text": "load('by_name.other')"},
        {"path": path, "line": 7, "kind": "import", "text": "load(sys.argv[1])"},
    ]
    assert (
        f"2 imports cannot be followed: {path}:6, {path}:7; see `warnings` in image.json\n"
        in image.run.output
    )


def test_import_of_what_nothing_has_is_told(repository: Repository) -> None:
    """An import of a missing module is reported in each run; a module that comes with another distribution is not."""
    write_files(
        repository,
        "unowned",
        {
            "BUILD": """\
                python_sources()
                slim_ray_image(name="image", entry_point="driver.py")
                """,
            "driver.py": """\
                import ray
                import attr
                import referencing
                import toolz
                """,
        },
    )
    place = "src/unowned/driver.py:4"
    line = f"1 import of a module that the image lacks: {place}; see `warnings` in image.json\n"
    for _ in range(2):
        image = repository.package("src/unowned:image")
        assert image.description["warnings"] == [
            {
                "path": "src/unowned/driver.py",
                "line": 4,
                "kind": "missing",
                "text": "import toolz",
            }
        ]
        assert line in image.run.output
