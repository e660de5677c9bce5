"""Tests of core.closure.closure."""

from __future__ import annotations

import pytest
from conftest import Golden, error_text

from slim_ray_image.core.closure.closure import (
    ClosureFile,
    ImportEdge,
    PathField,
    check_destinations,
    explain_targets,
    files_in_wheels,
    is_type_stub_project,
    only_built_with,
    unite_files,
    unneeded_type_stubs,
)

ROOT = "src/app:image"


def test_import_named_by_the_image_has_the_image_s_reason() -> None:
    """A target that the image names has the image's reason, even if code imports it too."""
    reasons = explain_targets(
        ROOT,
        {"src/app/app.py": "`serve_app`"},
        {ROOT: ["src/app/app.py"], "src/lib/lib.py": ["src/app/app.py"]},
        [ImportEdge("src/app/app.py", "app", "src/lib/lib.py", 1)],
    )
    assert reasons == {"src/app/app.py": "`serve_app`"}


def test_imported_target_has_the_first_import_by_file_and_line() -> None:
    """The reason is the first of several imports by file, then by line number, in any order of input."""
    edges = [
        ImportEdge("src/lib/lib.py", "lib", "src/b.py", 1),
        ImportEdge("src/lib/lib.py", "lib.text", "src/a.py", 10),
        ImportEdge("src/lib/lib.py", "lib", "src/a.py", 9),
    ]
    expected = {"src/lib/lib.py": "import of lib at src/a.py:9"}
    dependencies = {"src/a.py": ["src/lib/lib.py"]}
    assert explain_targets(ROOT, {}, dependencies, edges) == expected
    assert explain_targets(ROOT, {}, dependencies, edges[::-1]) == expected


def test_import_is_a_better_reason_than_a_dependency_of_the_image() -> None:
    """A target that is both imported and in `dependencies` has the import as its reason."""
    assert explain_targets(
        ROOT,
        {},
        {ROOT: ["src/lib/lib.py"]},
        [ImportEdge("src/lib/lib.py", "lib", "src/a.py", 2)],
    ) == {"src/lib/lib.py": "import of lib at src/a.py:2"}


def test_target_that_nothing_imports_has_who_depends_on_it() -> None:
    """Without an import, the reason is the image's `dependencies`, or else the first dependent by address."""
    assert explain_targets(
        ROOT,
        {},
        {
            "src/z.py": ["src/data:files", "src/words:words"],
            ROOT: ["src/data:files"],
            "src/b.py": ["src/words:words"],
        },
        [],
    ) == {
        "src/data:files": "`dependencies` of src/app:image",
        "src/words:words": "dependency of src/b.py",
    }


def test_every_target_of_a_cycle_has_a_reason() -> None:
    """Each of several targets that import one another has a reason."""
    assert explain_targets(
        ROOT,
        {"src/a.py": "`serve_app`"},
        {ROOT: ["src/a.py"], "src/a.py": ["src/b.py"], "src/b.py": ["src/a.py"]},
        [ImportEdge("src/b.py", "b", "src/a.py", 1), ImportEdge("src/a.py", "a", "src/b.py", 1)],
    ) == {"src/a.py": "`serve_app`", "src/b.py": "import of b at src/a.py:1"}


def test_target_outside_the_closure_has_no_reason() -> None:
    """An import of a target that is outside of the closure does not add the target."""
    assert (
        explain_targets(
            ROOT, {"src/c.py": "`serve_app`"}, {ROOT: []}, [ImportEdge("src/c.py", "c", "x.py", 1)]
        )
        == {}
    )


def edges(*owners: str, module: str = "yaml") -> list[ImportEdge]:
    return [ImportEdge(owner, module, "app.py", 1) for owner in owners]


def test_stubs_beside_what_runs_are_not_needed() -> None:
    """If a distribution and its type stubs own an import, only the distribution is needed."""
    found = unneeded_type_stubs(["types"], [], edges("real", "types"))
    assert found == {"types"}


def test_stubs_that_alone_own_an_import_are_needed() -> None:
    """A requirement named like type stubs is needed if it is the only owner of an import."""
    imports = [*edges("real", "types"), *edges("types", module="only")]
    assert unneeded_type_stubs(["types"], [], imports) == frozenset()


def test_stubs_that_the_image_names_are_needed() -> None:
    """Type stubs that the image itself depends on are needed."""
    assert unneeded_type_stubs(["types"], ["types"], edges("real", "types")) == frozenset()


def test_stubs_that_nothing_imports_are_left_to_who_depends_on_them() -> None:
    """Type stubs that no code imports are needed, since a target names them as a dependency."""
    assert unneeded_type_stubs(["types"], [], edges("real")) == frozenset()


def test_type_stub_projects_are_known_by_name() -> None:
    """Prefixes and suffixes of Pants' own mapping mark type stubs."""
    names = ["types-pyyaml", "pandas-stubs", "stubs-x", "celery-types", "typesense", "numpy"]
    assert [is_type_stub_project(name) for name in names] == [True, True, True, True, False, False]


# --- Files


def file(
    path: str, source: str, reason: str = "", *, sha256: str = "", executable: bool = False
) -> ClosureFile:
    return ClosureFile(path, source, 1, reason, sha256, executable)


def test_equal_files_of_one_path_are_one() -> None:
    """The first of equal files at one path, by source and reason, stays, in any order of input."""
    found = [
        file("app/a.py", "src/app/a.py", "z"),
        file("app/a.py", "src/app/a.py", "y"),
        file("app/a.py", "more/app/a.py", "x"),
        file("a.py", "src/a.py"),
    ]
    for order in (found, found[::-1]):
        assert unite_files(ROOT, order) == (found[3], found[2])


def test_files_of_one_path_that_differ_are_refused(golden: Golden) -> None:
    """Files at one path that differ in content or executable bit are an error; every such path is reported."""
    found = [
        file("app/a.py", "src/app/a.py", sha256="1"),
        file("app/a.py", "more/app/a.py", sha256="2"),
        file("app/run", "src/app/run", executable=True),
        file("app/run", "more/app/run"),
    ]
    golden.check(
        "errors/closure/files-that-differ.txt", error_text(lambda: unite_files(ROOT, found))
    )


def test_paths_that_differ_by_case_are_refused(golden: Golden) -> None:
    """Paths that differ only by case are an error, since the image would depend on the file system."""
    found = [
        file("app/Words.py", "src/app/Words.py"),
        file("app/words.py", "src/app/words.py"),
        file("APP/words.PY", "src/APP/words.PY"),
        file("data/stra\u00dfe", "src:data"),
        file("data/STRASSE", "src/data/STRASSE"),
        file("Data/other", "src/Data/other"),
    ]
    text = error_text(lambda: unite_files(ROOT, found))
    golden.check("errors/closure/paths-that-differ-by-case.txt", text)


def test_paths_with_control_characters_are_refused(golden: Golden) -> None:
    """Each path with a control character is reported, escaped and on one line."""
    found = [
        file("app/a\n/etc/victim.pyc\nz.py", "src/app/a\n/etc/victim.pyc\nz.py"),
        file("app/b\r.py", "src/app/b\r.py"),
        file("app/c\x1b]0;title\x07", "src/app:generated"),
        file("app/d\x7f\x85.py", "src/app/d\x7f\x85.py"),
        file("app/e.py", "src/app/e.py"),
    ]
    text = error_text(lambda: unite_files(ROOT, found))
    golden.check("errors/closure/paths-with-control-characters.txt", text)


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "it's",
        'a"b',
        "-a",
        "caf\u00e9",
        "\u6a21\u578b",
        "a\u202eb",
        "a\u2028b",
        "\U0001f600",
        "a\u00a0b",
    ],
    ids=ascii,
)
def test_unusual_path_is_as_good_as_any(name: str) -> None:
    """A path may have any character but control characters."""
    found = file(f"app/{name}.py", f"src/app/{name}.py")
    assert unite_files(ROOT, [found]) == (found,)


def test_paths_that_leave_the_working_directory_are_refused(golden: Golden) -> None:
    """Each field that leads out of the working directory is reported with its value."""
    fields = [
        PathField("dest", "src/app:b", "../../etc"),
        PathField("dest", "src/app:a", "/etc"),
        PathField("output_path", "src/app:archive", "a/../../x.tar"),
        PathField("src", "src/app:ok", "src/app"),
        PathField("dest", "src/app:ok", "a/../b"),
        PathField("dest", "src/app:ok", "..b"),
        PathField("dest", "src/app:ok", ""),
    ]
    golden.check(
        "errors/closure/path-outside-the-workdir.txt",
        error_text(lambda: check_destinations(ROOT, fields)),
    )
    check_destinations(ROOT, fields[3:])


# --- Distributions of the repository


def test_only_built_with_is_what_no_code_depends_on() -> None:
    """A target is returned if only distributions depend on it, and not if others do too."""
    dependencies = {
        ROOT: ["src/lib:dist"],
        "src/lib:dist": ["src/lib:pyproject", "src/lib/a.py", "src/lib:data"],
        "src/lib/a.py": ["src/lib:data", "src/lib/b.py"],
    }
    assert only_built_with(dependencies, ["src/lib:dist"]) == {"src/lib:pyproject", "src/lib/a.py"}
    assert only_built_with(dependencies, []) == frozenset()


@pytest.mark.parametrize(
    ("paths", "provided", "expected"),
    [
        pytest.param(["lib/a.py", "app.py"], ["lib/a.py"], {"lib/a.py"}, id="apart"),
        pytest.param(
            ["lib/__init__.py", "lib/a.py", "app.py"],
            ["lib/__init__.py", "lib/a.py", "lib/other.py"],
            {"lib/__init__.py", "lib/a.py"},
            id="package whole",
        ),
        pytest.param(
            ["lib/__init__.py", "lib/a.py", "lib/b.py"],
            ["lib/__init__.py", "lib/a.py"],
            set(),
            id="package split",
        ),
        pytest.param(
            ["libs/__init__.py", "libs/a/__init__.py", "libs/a/x.py", "libs/b/y.py"],
            ["libs/a/__init__.py", "libs/a/x.py"],
            set(),
            id="package above split",
        ),
        pytest.param(
            ["libs/a/__init__.py", "libs/a/x.py", "libs/b/y.py"],
            ["libs/a/__init__.py", "libs/a/x.py"],
            {"libs/a/__init__.py", "libs/a/x.py"},
            id="namespace above split",
        ),
        pytest.param(["lib/a.py"], [], set(), id="nothing provided"),
    ],
)
def test_files_in_wheels_are_not_beside_them(
    paths: list[str], provided: list[str], expected: set[str]
) -> None:
    """A file in a wheel is left out, unless it is in a regular package that no wheel has as a whole."""
    assert files_in_wheels(paths, provided) == expected
