"""Tests of core.check.import_checks: the imports that an image must do, and the problems of failed imports."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import pytest
from conftest import Golden

from slim_ray_image.core.check.import_checks import (
    Failure,
    Import,
    application_imports,
    extras_that_bring,
    first_party_imports,
    import_problems,
    judge,
    left_out_modules,
    outside_problems,
    script_imports,
)
from slim_ray_image.core.check.import_outcomes import Frame, ImportOutcome
from slim_ray_image.core.check.layer_contents import (
    KIND_FILE,
    ImageFile,
    LayerContents,
    LayerDistribution,
    image_contents,
)
from slim_ray_image.core.errors import format_problems
from slim_ray_image.core.serve.served_application import ServedApplication

UVICORN = LayerDistribution("uvicorn", "0.30.0", ('uvloop; extra == "standard"',), (), ())
RAY = LayerDistribution(
    "ray",
    "2.48.0",
    (
        "click>=7.0",
        'requests; extra == "default"',
        "requests",
        'pyarrow>=9.0.0; extra == "data"',
        'pyarrow>=9.0.0; extra == "tune"',
        'cupy_cuda12x; sys_platform != "darwin" and extra == "cgraph"',
    ),
    (("ray", "ray.scripts.scripts:main"), ("tune", "ray.tune.cli.scripts:cli")),
    (),
)
TUNE = Import("the console script `tune` of ray 2.48.0", "ray.tune.cli.scripts", "cli", None, RAY)
APP = Import("the module app.main", "app.main")


def failure(
    of: Import = APP,
    *,
    error: str = "ModuleNotFoundError",
    text: str = "",
    missing: Sequence[str] = (),
    wanted: Optional[str] = None,
    is_of_content: bool = True,
    frame: Optional[tuple[str, int, str]] = None,
) -> Failure:
    return Failure(
        of,
        ImportOutcome(
            error=error,
            text=text or f"No module named {missing[-1]!r}" if missing else text,
            is_of_content=is_of_content,
            missing=tuple(missing),
            wanted=wanted,
            frames=(Frame(*frame),) if frame else (),
        ),
    )


# --- Imports to do


def test_each_module_of_the_first_party_files_is_imported() -> None:
    """Modules and packages are imported; data, `__main__` and files whose path is no module name are not."""
    paths = ["b/__init__.py", "b/x.py", "b/__main__.py", "a.py", "b/data.txt", "b/my-tool.py"]
    paths += ["class/x.py", "__init__.py", "2to3.py"]
    found = first_party_imports(paths, None)
    assert [one.module for one in found] == ["a", "b", "b.x"]
    assert {one.script for one in found} == {None}


def test_file_that_the_image_runs_is_a_script() -> None:
    """The import of the image's entry file is marked as a script, so that importing it does not run it."""
    found = first_party_imports(["jobs/driver.py", "jobs/x.py"], "jobs/driver.py")
    assert [one.script for one in found] == ["jobs/driver.py", None]
    by_path = first_party_imports(["jobs/driver.py", "jobs/x.py"], "jobs/driver.py", True)
    assert [one.is_by_path for one in by_path] == [True, False]


def test_main_of_the_package_that_the_image_runs_is_a_script() -> None:
    """The entry's `__main__` is imported; the `__main__` of another package is not."""
    main = "jobs/__main__.py"
    (found,) = first_party_imports([main, "other/__main__.py"], main)
    assert (found.module, found.script) == ("jobs.__main__", main)


@pytest.mark.parametrize("import_path", ["app.main:build", "app.main.build"])
def test_application_is_imported_with_its_attribute(import_path: str) -> None:
    """Both forms of an import path that Ray Serve accepts name a module and an attribute."""
    (found,) = application_imports([ServedApplication("default", "/", import_path, args=())])
    assert (found.module, found.attribute) == ("app.main", "build")


def test_console_scripts_are_those_that_are_in_the_image() -> None:
    """A console script in the metadata is imported only if its file is in the image."""
    script = ImageFile(KIND_FILE, 0o755, 0, 0)
    contents = image_contents([], [LayerContents((("opt/venv/bin/tune", script),), (RAY,))])
    (found,) = script_imports(contents)
    assert (found.module, found.attribute) == ("ray.tune.cli.scripts", "cli")
    assert found.what == "the console script `tune` of ray 2.48.0 (ray.tune.cli.scripts:cli)"


# --- Kinds of failures


@pytest.mark.parametrize(
    ("module", "extras"),
    [
        ("pyarrow.lib", ("data", "tune")),
        ("cupy_cuda12x", ("cgraph",)),
        ("requests", ()),
        ("click", ()),
        ("numpy", ()),
    ],
)
def test_extras_bring_what_is_required_for_them_alone(module: str, extras: tuple[str, ...]) -> None:
    """An extra counts only if METADATA requires the module for extras alone, and never unconditionally."""
    assert extras_that_bring(RAY, module) == extras


def test_console_script_of_an_extra_is_no_fault() -> None:
    """A console script may lack a module that METADATA requires only for an extra."""
    verdict = judge([failure(TUNE, missing=["pyarrow"])])
    assert (verdict.faults, verdict.unproven) == ((), ())
    assert [one.of for one in verdict.left_out] == [TUNE]


def test_console_script_whose_error_names_its_extra_is_no_fault() -> None:
    """A console script may lack a module if its error names an extra of its own distribution."""
    text = 'Run `pip install "ray[tune]"` to fix.'
    assert judge([failure(TUNE, missing=["arrow_py"], text=text)]).left_out
    text = 'Run `pip install "ray[other]"` to fix.'
    assert judge([failure(TUNE, missing=["arrow_py"], text=text)]).faults


def test_console_script_of_what_was_pruned_is_no_fault() -> None:
    """A console script may lack its own module if that was pruned, but no other module."""
    whole, inner = failure(TUNE, missing=["ray.tune"]), failure(TUNE, missing=["ray.tune.other"])
    assert judge([whole], pruned=["ray"]).left_out
    assert judge([whole], pruned=["numpy"]).faults
    assert judge([inner], pruned=["ray"]).faults
    assert judge([failure(APP, missing=["app"])], pruned=["ray"]).faults


def test_console_script_that_lacks_what_it_always_needs_is_a_fault() -> None:
    """A script that lacks an unconditional requirement is a fault; first-party code may not lack an extra's either."""
    assert judge([failure(TUNE, missing=["click"])]).faults
    assert judge([failure(APP, missing=["pyarrow"])]).faults


@pytest.mark.parametrize(
    ("case", "note"),
    [
        (
            failure(error="KeyError", text="'X'", wanted="the environment variable X"),
            "the module app.main could not be checked: its import needs the environment variable X",
        ),
        (
            failure(error="ValidationError", text="1 error\nmore", is_of_content=False),
            "the module app.main could not be checked: its import raises ValidationError: 1 error",
        ),
    ],
    ids=["wants", "raises"],
)
def test_failure_for_what_the_place_gives_proves_nothing(case: Failure, note: str) -> None:
    """A failure that depends on the image's surroundings gives a note, and no fault."""
    verdict = judge([case])
    assert (verdict.faults, verdict.unproven) == ((), (note,))


def test_missing_module_is_a_fault_whatever_else_was_wanted() -> None:
    """An import that did without the network and then lacked a module is a fault."""
    assert judge([failure(missing=["gone"], wanted="the network")]).faults


# --- Problems


def problems(*failures: Failure, **owners: Sequence[str]) -> str:
    return format_problems(
        import_problems(
            "src/app:image",
            failures,
            workdir="/app",
            sources={"app/main.py": "src/app/main.py"},
            owners=owners,
            distributions=(RAY, UVICORN),
            left_out=("numpy.core._natype",),
        )
    )


def other(name: str) -> Import:
    return Import(f"the module {name}", name)


def test_excluded_requirement_is_named(golden: Golden) -> None:
    """The problem has the import statement, once, and the target that has the module."""
    frame = ("/app/app/main.py", 3, "import numpy as np")
    text = problems(
        failure(missing=["numpy"], frame=frame),
        failure(other("app.more"), missing=["numpy"], frame=frame),
        numpy=["3rdparty/python:requirements#numpy"],
    )
    golden.check("errors/check/check-import-excluded.txt", text)


def test_module_that_no_target_has_is_named(golden: Golden) -> None:
    """The fix names an extra that provides the module, but no extra of Ray, since the plugin adds those itself."""
    site = "/opt/venv/lib/python3.10/site-packages"
    text = problems(
        failure(missing=["uvloop"], frame=(f"{site}/uvicorn/x.py", 9, "import uvloop")),
        failure(missing=["pyarrow"], frame=(f"{site}/ray/data/x.py", 9, "import pyarrow")),
        failure(other("b"), missing=["gone.inner"]),
    )
    golden.check("errors/check/check-import-unknown.txt", text)


def test_first_party_module_that_is_not_there_is_named(golden: Golden) -> None:
    """For a missing first-party module, the fix is to correct the import, and not to add a requirement."""
    golden.check("errors/check/check-import-misspelt.txt", problems(failure(missing=["app.mian"])))


def test_module_that_more_than_one_target_has_is_named(golden: Golden) -> None:
    """The fix names all targets that have the module."""
    text = problems(failure(missing=["lib"]), lib=["src/lib:a", "src/lib:b"])
    golden.check("errors/check/check-import-ambiguous.txt", text)


def test_module_of_a_package_that_is_there_was_left_out(golden: Golden) -> None:
    """For a module that was left out of its package, the fix is in `exclude_files` or `prune`, not a requirement."""
    text = problems(
        failure(missing=["numpy.core._natype"]), **{"numpy.core._natype": ["3rdparty#numpy"]}
    )
    golden.check("errors/check/check-import-left-out.txt", text)


def test_package_is_there_when_its_init_file_is() -> None:
    """A missing module counts as left out if its outermost package is there; a namespace package does not count."""
    file = ImageFile(KIND_FILE, 0o644, 0, 0)
    paths = ("site/numpy/__init__.py", "site/google/protobuf/__init__.py")
    contents = image_contents([], [LayerContents(tuple((path, file) for path in paths), ())])
    missing = ["numpy", "numpy.core", "google.cloud", "gone.inner"]
    assert left_out_modules(missing, contents, "/site") == {"numpy.core"}


def test_other_failures_are_grouped_by_reason(golden: Golden) -> None:
    """Failures with the same reason are one problem; a missing library and an ended process are two."""
    text = "libgomp.so.1: cannot open shared object file: No such file or directory"
    frame = ("/app/app/main.py", 1, "import trees")
    golden.check(
        "errors/check/check-import-other.txt",
        problems(
            failure(error="OSError", text=text, frame=frame),
            failure(other("b"), error="OSError", text=text, frame=frame),
            failure(other("c"), error="", text="the process was ended by SIGSEGV"),
        ),
    )


def test_libraries_of_this_machine_are_one_problem(golden: Golden) -> None:
    """All libraries of this machine are one problem; without any there is none."""
    assert outside_problems("src/app:image", []) == ()
    found: Any = outside_problems("src/app:image", ["/usr/lib/libz.so.1", "/lib/libgomp.so.1"])
    golden.check("errors/check/check-libraries-outside.txt", format_problems(found))
