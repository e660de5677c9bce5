"""Tests of `pants check`: a good image passes, and an image with a fault gets an error. No container is started."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Sequence
from uuid import uuid4

import pytest
from conftest import Golden
from harness.repository import PantsRun, Repository
from harness.shapes import LOCKFILE, TARGET, Shapes, make_shapes, write_service
from needs import needs, program

pytestmark = needs("base")

ECHO = "src/services/echo:image"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    found = make_shapes(tmp_path_factory.mktemp("shapes"))
    found.add_wheel("prism", files={"prism_for_tests.py": "\nimport glass_for_tests\n"})
    return found


def check(repository: Repository, target: str, *options: str) -> PantsRun:
    return repository.pants(*options, "check", "--only=slim-ray-image", target, check=False)


def problems_of(run: PantsRun) -> str:
    """Return the plugin's own output of a failed check, without Pants' lines."""
    assert run.exit_code == 1, run.output
    assert "Traceback (most recent call last)" not in run.output
    assert "fault in slim_ray_image" not in run.output
    _, failed, said = run.output.partition("slim-ray-image failed (exit code 1).\n")
    assert failed, run.output
    return said.partition("✕ slim-ray-image failed.")[0].strip()


def check_shapes(
    repository: Repository, shapes: Shapes, names: list[str], dependencies: Sequence[str] = ()
) -> PantsRun:
    """Check an image whose driver imports these distributions."""
    write_service(repository, names)
    build = repository.read("src/shapes/BUILD").replace(
        'entry_point="driver.py"', f'entry_point="driver.py", dependencies={list(dependencies)!r}'
    )
    repository.write("src/shapes/BUILD", build)
    repository.write(LOCKFILE, "".join(map(shapes.locked, names)))
    return check(repository, TARGET, *shapes.options())


def test_service_passes_in_one_line(repository: Repository) -> None:
    """A good image passes every check; besides Pants' own lines, the output has one line."""
    run = check(repository, ECHO)
    assert run.exit_code == 0, run.output
    lines = [line for line in run.output.splitlines() if line.startswith("src/")]
    assert len(lines) == 1, run.output
    assert lines[0].startswith(f"{ECHO}: "), lines
    assert "✓ slim-ray-image succeeded." in run.output


def test_edit_of_a_library_checks_what_is_first_party_alone(repository: Repository) -> None:
    """After an edit of a library, no layer of distributions is read again, and no console script imported."""
    assert check(repository, ECHO).exit_code == 0
    words = "src/libs/text/words.py"
    repository.write(words, f"{repository.read(words)}\n# Edit {uuid4()}.\n")
    run = check(repository, ECHO)
    assert run.exit_code == 0, run.output
    assert sorted(run.started) == [
        "Import the first-party code of src/services/echo:image",
        "List the files of the layer sources",
        "Unpack the layer sources to check it",
        "Write the layer of 7 first-party files of src/services/echo:image",
    ]


def test_requirement_that_is_excluded_is_missed(
    repository: Repository, shapes: Shapes, golden: Golden
) -> None:
    """The error names the import and the requirement, although the image itself can be built."""
    run = check_shapes(repository, shapes, ["torus", "side"], ["!!:shape"])
    golden.check("errors/packages/check-excluded-requirement.txt", problems_of(run))


def test_module_that_a_distribution_does_not_declare_is_missed(
    repository: Repository, shapes: Shapes, golden: Golden
) -> None:
    """If a distribution imports a missing module, the error names the file in the image that imports it."""
    run = check_shapes(repository, shapes, ["prism"])
    golden.check("errors/packages/check-undeclared-module.txt", problems_of(run))


@needs("compiler")
def test_library_of_this_machine_does_not_hide_that_the_base_has_none(
    repository: Repository, shapes: Shapes, golden: Golden, tmp_path: Path
) -> None:
    """Like LightGBM's wheel, the wheel loads libgomp.so.1, which this machine has and a slim base lacks."""
    source = tmp_path / "trees.c"
    source.write_text("#include <omp.h>\nint trees(void) { return omp_get_max_threads(); }\n")
    library = tmp_path / "lib_trees.so"
    subprocess.run(
        [program("gcc"), "-shared", "-fPIC", "-fopenmp", str(source), "-o", str(library)],
        check=True,
    )
    shapes.add_wheel(
        "trees",
        files={
            "trees_for_tests.py": "",
            "trees_library/__init__.py": "",
            "trees_library/lib_trees.so": library.read_bytes(),
        },
    )
    run = check_shapes(repository, shapes, ["trees"])
    golden.check("errors/packages/check-missing-library.txt", problems_of(run))
    load = "import ctypes, os\nctypes.CDLL(os.path.dirname(__file__) + '/trees_library/lib_trees.so')\n"
    shapes.add_wheel(
        "trees",
        version="2.0",
        files={"trees_for_tests.py": load, "trees_library/lib_trees.so": library.read_bytes()},
    )
    repository.write(LOCKFILE, shapes.locked("trees", "2.0"))
    said = problems_of(check(repository, TARGET, *shapes.options()))
    assert "lacks the shared library libgomp.so.1" in said
    assert "libgomp.so.1" in said.partition("loaded shared libraries of this machine")[2]


def test_image_that_kuberay_cannot_start_fails(repository: Repository, golden: Golden) -> None:
    """All fields of a target that conflict with the operator are reported at once."""
    repository.write(
        "src/services/refused/BUILD",
        "slim_ray_image(\n"
        '    name="image",\n'
        '    serve_app="services.echo.app:app",\n'
        '    user="root",\n'
        '    entrypoint=["/bin/sh", "-c"],\n'
        '    env={"RAY_ADDRESS": "auto", "PYTHONPATH": "/elsewhere"},\n'
        ")\n",
    )
    run = check(repository, "src/services/refused:image")
    golden.check("errors/packages/check-refused-by-kuberay.txt", problems_of(run))


def write_lacking(repository: Repository, code: str, exclude_file: str) -> str:
    """Write a target with an example's code, whose image lacks a file, and return the target's address."""
    repository.write(
        "src/services/lacking/BUILD",
        f'slim_ray_image(name="image", {code}, exclude_files=[{exclude_file!r}])\n',
    )
    return "src/services/lacking:image"


def test_image_without_the_program_of_the_probes_fails(
    repository: Repository, golden: Golden
) -> None:
    """Without wget, KubeRay never sees the container become ready."""
    echo = 'serve_app="services.echo.app:app"'
    run = check(repository, write_lacking(repository, echo, "/usr/local/bin/wget"))
    golden.check("errors/packages/check-without-wget.txt", problems_of(run))


def test_test_module_that_a_library_imports_is_missed(
    repository: Repository, golden: Golden
) -> None:
    """numpy.testing, which scipy imports, imports a module of numpy's tests."""
    features = 'dependencies=["src/libs/features"]'
    excluded = "numpy/_core/tests/_natype.py"
    run = check(repository, write_lacking(repository, features, excluded))
    golden.check("errors/packages/check-without-natype.txt", problems_of(run))


def test_what_only_the_cluster_has_is_a_line_and_no_failure(
    repository: Repository, shapes: Shapes
) -> None:
    """A module that reads an environment variable when it is imported is reported, but the check passes."""
    write_service(repository, ["side"])
    repository.write(LOCKFILE, shapes.locked("side"))
    repository.write("src/shapes/settings.py", 'import os\n\nURL = os.environ["DATABASE_URL"]\n')
    repository.write(
        "src/shapes/driver.py",
        'from shapes import settings\n\nif __name__ == "__main__":\n    print(settings.URL)\n',
    )
    build = repository.read("src/shapes/BUILD")
    repository.write(
        "src/shapes/BUILD",
        f'{build}python_source(name="settings", source="settings.py", resolve="shapes")\n',
    )
    run = check(repository, TARGET, *shapes.options())
    assert run.exit_code == 0, run.output
    for module in ("shapes.driver", "shapes.settings"):
        assert (
            f"{TARGET}: the module {module} could not be checked: its import needs the environment variable "
            "DATABASE_URL" in run.output
        )


def test_code_that_exclude_files_takes_is_not_imported(
    repository: Repository, shapes: Shapes
) -> None:
    """A module that is not in the image is not imported."""
    write_service(repository, ["side"])
    repository.write(LOCKFILE, shapes.locked("side"))
    repository.write("src/shapes/spare.py", "import gone\n")
    build = repository.read("src/shapes/BUILD").replace(
        'entry_point="driver.py"',
        'entry_point="driver.py", dependencies=[":spare"], exclude_files=["/app/shapes/spare.py"]',
    )
    repository.write(
        "src/shapes/BUILD",
        f'{build}python_source(name="spare", source="spare.py", resolve="shapes")\n',
    )
    run = check(repository, TARGET, *shapes.options())
    assert run.exit_code == 0, run.output


def test_image_can_be_left_out(repository: Repository, shapes: Shapes) -> None:
    """With `skip_check`, an image is not checked, and no part of it is built."""
    repository.write(
        "src/shapes/BUILD",
        'python_source(name="driver", source="driver.py")\n'
        'slim_ray_image(name="image", entry_point="driver.py", skip_check=True)\n',
    )
    repository.write("src/shapes/driver.py", "import gone\n")
    run = check(repository, TARGET)
    assert run.exit_code == 0, run.output
    assert run.started == ()
