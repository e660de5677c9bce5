"""What a service may depend on besides its sources: generated code, packages, distributions of the repository, weights."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from textwrap import dedent
from typing import Iterator

import pytest
from conftest import Golden

from integration.conftest import executable
from integration.container import Docker
from integration.failures import assert_fails
from integration.registry import free_port
from integration.repository import PackagedImage, Repository

pytestmark = pytest.mark.integration

IMAGES = "slim-ray-image.local/src/{}/image"
# What is run here needs no network, so neither that of Docker.
RUN_ARGUMENTS = "--slim-ray-run-args=['--rm', '--network=none']"


@pytest.fixture(scope="module")
def folders(docker: Docker) -> Iterator[dict[str, str]]:
    """Names of this run alone, since Docker is shared; their images go at the end."""
    port = free_port()
    found = {kind: f"{kind}_{port}" for kind in ("proto", "tool", "dist", "native")}
    yield found
    for folder in found.values():
        docker.remove(IMAGES.format(folder))


def write(repository: Repository, folder: str, files: dict[str, str]) -> None:
    for name, content in files.items():
        repository.write(f"src/{folder}/{name}", dedent(content))


def files_of(image: PackagedImage) -> dict[str, str]:
    """Path in the image -> source."""
    return {row["path"]: row["source"] for row in image.description["files"]}


def mode_of(image: PackagedImage, path: str) -> int:
    """The permissions of a file in the highest layer that has it."""
    layout = image.layout
    modes = [
        entry.mode
        for layer in layout.layers
        for entry in layout.entries(layer)
        if f"/{entry.name}" == path
    ]
    return modes[-1]


# --- Generated code


@pytest.fixture(scope="module")
def protoc_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment by which Pants uses this machine's protoc: its own comes from where not every machine reaches."""
    program = Path(os.path.realpath(executable("protoc")))
    archive = tmp_path_factory.mktemp("protoc") / "protoc.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.write(program, "bin/protoc")
    content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {
        "PANTS_PROTOC_VERSION": "local",
        "PANTS_PROTOC_URL_TEMPLATE": archive.as_uri(),
        "PANTS_PROTOC_KNOWN_VERSIONS": f"['local|linux_x86_64|{digest}|{len(content)}']",
        "PANTS_BACKEND_PACKAGES": "+['pants.backend.codegen.protobuf.python']",
    }


def test_generated_code_comes_along(
    repository: Repository, folders: dict[str, str], protoc_options: dict[str, str]
) -> None:
    """A service that imports what protoc makes of a `.proto` has that, and the distribution that it needs."""
    folder = folders["proto"]
    write(
        repository,
        folder,
        {
            "BUILD": """\
                python_sources()
                protobuf_sources(name="protos")
                python_requirement(name="protobuf", requirements=["protobuf"])
                slim_ray_image(name="image", entry_point="driver.py")
                """,
            "point.proto": """\
                syntax = "proto3";
                message Point { int32 x = 1; }
                """,
            "driver.py": f"""\
                from {folder}.point_pb2 import Point

                print(Point.FromString(Point(x=3).SerializeToString()).x)
                """,
        },
    )
    run = repository.pants(
        RUN_ARGUMENTS, "run", f"src/{folder}:image", check=True, **protoc_options
    )
    assert run.output.endswith("\n3\n")
    repository.pants("package", f"src/{folder}:image", check=True, **protoc_options)
    image = PackagedImage("", repository.output_of(f"src/{folder}:image"), run)
    assert set(files_of(image)) == {f"{folder}/driver.py", f"{folder}/point_pb2.py"}
    assert image.distributions == {"protobuf"}


# --- Packages


def test_package_is_in_the_image_and_its_code_is_not(
    repository: Repository, folders: dict[str, str]
) -> None:
    """A `pex_binary` can be started in the image. What it needs or leaves out is its own; what the service imports stays."""
    folder = folders["tool"]
    write(
        repository,
        folder,
        {
            "BUILD": f"""\
                python_sources()
                pex_binary(
                    name="tool", entry_point="tool.py", dependencies=["!!./shared.py", "src/{folder}/fact.py"],
                )
                slim_ray_image(name="image", entry_point="driver.py", dependencies=[":tool"])
                """,
            "tool.py": f"""\
                from {folder}.fact import FACT

                print("the tool has", FACT)
                """,
            "fact.py": 'FACT = "a fact"\n',
            "shared.py": 'NAME = "driver"\n',
            "driver.py": f"""\
                import subprocess

                from {folder}.shared import NAME

                print(NAME, flush=True)
                subprocess.run(["./src.{folder}/tool.pex"], check=True)
                """,
        },
    )
    target = f"src/{folder}:image"
    run = repository.pants(RUN_ARGUMENTS, "run", target)
    assert run.output.endswith("\ndriver\nthe tool has a fact\n")
    image = repository.package(target)
    assert files_of(image) == {
        f"{folder}/driver.py": f"src/{folder}/driver.py",
        f"{folder}/shared.py": f"src/{folder}/shared.py",
        f"src.{folder}/tool.pex": f"src/{folder}:tool",
    }
    assert mode_of(image, f"/app/src.{folder}/tool.pex") == 0o755


# --- Distributions of the repository

PYPROJECT = """\
    [build-system]
    requires = ["setuptools", "wheel"]
    build-backend = "setuptools.build_meta"
    """
DRIVER = """\
    import subprocess
    from importlib.metadata import version

    from shapes.area import square

    print(square(3), version("shapes-for-tests"), flush=True)
    subprocess.run(["shapes"], check=True)
    """


def root_option(folder: str) -> str:
    return f"--source-root-patterns=+['/src/{folder}']"


def write_distribution(repository: Repository, folder: str) -> str:
    """Write a library that is packaged as a wheel, and a driver that uses its code and its console script."""
    write(
        repository,
        folder,
        {
            "BUILD": """\
                python_sources()
                resource(name="pyproject", source="pyproject.toml")
                python_distribution(
                    name="dist",
                    dependencies=["./shapes", ":pyproject"],
                    provides=python_artifact(name="Shapes_for.tests", version="1.2"),
                    entry_points={"console_scripts": {"shapes": "shapes.command:main"}},
                    sdist=False,
                )
                slim_ray_image(name="image", entry_point="driver.py", dependencies=[":dist"])
                """,
            "pyproject.toml": PYPROJECT,
            "driver.py": DRIVER,
            "shapes/BUILD": "python_sources()\n",
            "shapes/__init__.py": "",
            "shapes/area.py": "def square(side):\n    return side * side\n",
            "shapes/command.py": 'def main():\n    print("shapes")\n',
        },
    )
    return f"src/{folder}:image"


def write_native_distribution(repository: Repository, folder: str) -> str:
    """Write a library in C with a `setup.py` of its own, and a driver that uses it."""
    write(
        repository,
        folder,
        {
            "BUILD": """\
                python_source(name="driver", source="driver.py", dependencies=["./shapes:dist"])
                slim_ray_image(name="image", entry_point="driver.py")
                """,
            "driver.py": 'from shapes_for_tests import square\n\nprint("square", square(3))\n',
            "shapes/BUILD": """\
                python_source(name="setup", source="setup.py")
                resource(name="pyproject", source="pyproject.toml")
                resource(name="c", source="shapes.c")
                python_distribution(
                    name="dist",
                    dependencies=[":setup", ":pyproject", ":c"],
                    provides=python_artifact(name="shapes-for-tests", version="1.2"),
                    generate_setup=False,
                    sdist=False,
                )
                """,
            "shapes/pyproject.toml": PYPROJECT,
            "shapes/setup.py": """\
                from setuptools import Extension, setup

                setup(
                    name="shapes-for-tests",
                    version="1.2",
                    packages=[],
                    ext_modules=[Extension("shapes_for_tests", ["shapes.c"])],
                )
                """,
            "shapes/shapes.c": """\
                #include <Python.h>

                static PyObject *square(PyObject *self, PyObject *side) {
                    return PyNumber_Multiply(side, side);
                }

                static PyMethodDef methods[] = {{"square", square, METH_O, ""}, {NULL, NULL, 0, NULL}};
                static struct PyModuleDef module = {
                    PyModuleDef_HEAD_INIT, "shapes_for_tests", "", -1, methods
                };

                PyMODINIT_FUNC PyInit_shapes_for_tests(void) { return PyModule_Create(&module); }
                """,
        },
    )
    return f"src/{folder}:image"


def test_distribution_of_the_repository_is_installed(
    repository: Repository, folders: dict[str, str]
) -> None:
    """Its wheel is a distribution like any other, and its code is not in the sources as well."""
    folder = folders["dist"]
    target = write_distribution(repository, folder)
    run = repository.pants(root_option(folder), RUN_ARGUMENTS, "run", target)
    assert run.output.endswith("\n9 1.2\nshapes\n")
    image = repository.package(target, root_option(folder))
    (row,) = image.description["requirements"]
    assert (row["name"], row["version"], row["required_by"]) == (
        "shapes-for-tests",
        "1.2",
        [f"`dependencies` of {target}"],
    )
    assert set(files_of(image)) == {"driver.py"}
    assert not image.layout.read("direct_url.json")
    assert not image.layout.read("uv_cache.json")


def test_distribution_is_the_same_layer_from_any_build(
    repository: Repository, folders: dict[str, str]
) -> None:
    """Built once more, in another sandbox, the same code is the same image."""
    folder = folders["dist"]
    target = write_distribution(repository, folder)
    before = repository.package(target, root_option(folder)).description["manifest_digest"]
    again = repository.package(target, root_option(folder), "--no-local-cache", "--no-pantsd")
    assert "Install and pack shapes-for-tests of this repository" in again.run.started
    assert again.description["manifest_digest"] == before


def test_distribution_for_this_machine_alone_is_refused(
    repository: Repository, folders: dict[str, str], golden: Golden
) -> None:
    """A wheel with an extension module is for the libraries it was built with; who knows better says so by name."""
    executable("gcc")
    folder = folders["native"]
    target = write_native_distribution(repository, folder)
    error = assert_fails(repository, target, root_option(folder))
    text = error.partition("SlimRayImageError: ")[2].replace(folder, "native").strip()
    golden.check("errors/distribution_for_this_machine.txt", text)
    allowed = "--slim-ray-host-built-distributions=['Shapes_for.tests']"
    run = repository.pants(root_option(folder), RUN_ARGUMENTS, allowed, "run", target)
    assert run.output.endswith("\nsquare 9\n")
    image = repository.package(target, root_option(folder), allowed)
    assert set(files_of(image)) == {"driver.py"}


# --- Large files


def test_large_files_are_a_layer_that_an_edit_of_code_leaves(repository: Repository) -> None:
    """Weights are in a layer of their own, below the sources; the same file is the same layer in another service."""
    weights = "0123456789abcdef" * 70_000
    for service in ("one", "two"):
        write(
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
    write(
        repository,
        "weights/model",
        {"BUILD": 'resource(name="weights", source="weights.bin")\n', "weights.bin": weights},
    )
    one = repository.package("src/weights/one:image")
    rows = {row["name"]: row for row in one.own_rows}
    assert list(rows)[-2:] == ["files", "sources"]
    assert (rows["files"]["kind"], rows["files"]["unpacked_bytes"]) == ("files", len(weights))
    two = repository.package("src/weights/two:image")
    repository.write("src/weights/one/driver.py", 'print("edited")\n')
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
    """They are in image.json and in what `pants package` says; what `dependencies` bring is not among them."""
    write(
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
    """Each time, not only when Pants infers anew; what another distribution's dependencies bring is not told."""
    write(
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
    line = f"1 import of what is not in the image: {place}; see `warnings` in image.json\n"
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
