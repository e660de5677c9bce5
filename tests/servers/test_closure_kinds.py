"""What a service may depend on besides its sources, run in Docker: generated code, packages, distributions of the repository."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Iterator
from uuid import uuid4

import pytest
from conftest import Golden
from harness.container import Docker
from harness.failures import assert_fails
from harness.repository import PackagedImage, Repository
from harness.targets import write_files
from needs import needs, program

pytestmark = needs("base", "docker")

IMAGES = "slim-ray-image.local/src/{}/image"
# What is run here needs no network, so neither that of Docker.
RUN_ARGUMENTS = "--slim-ray-run-args=['--rm', '--network=none']"


@pytest.fixture(scope="module")
def folders(docker: Docker) -> Iterator[dict[str, str]]:
    """Names of this run alone, since Docker is shared; their images go at the end."""
    run = uuid4().hex
    found = {kind: f"{kind}_{run}" for kind in ("proto", "tool", "dist", "native")}
    yield found
    for folder in found.values():
        docker.remove(IMAGES.format(folder))


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
    protoc = Path(os.path.realpath(program("protoc")))
    archive = tmp_path_factory.mktemp("protoc") / "protoc.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.write(protoc, "bin/protoc")
    content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {
        "PANTS_PROTOC_VERSION": "local",
        "PANTS_PROTOC_URL_TEMPLATE": archive.as_uri(),
        "PANTS_PROTOC_KNOWN_VERSIONS": f"['local|linux_x86_64|{digest}|{len(content)}']",
        "PANTS_BACKEND_PACKAGES": "+['pants.backend.codegen.protobuf.python']",
    }


@needs("protoc")
def test_generated_code_comes_along(
    repository: Repository, folders: dict[str, str], protoc_options: dict[str, str]
) -> None:
    """A service that imports what protoc makes of a `.proto` has that, and the distribution that it needs."""
    folder = folders["proto"]
    write_files(
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
    write_files(
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
    write_files(
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
    write_files(
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
    assert "Describe shapes-for-tests of this repository" in again.run.started
    assert again.description["manifest_digest"] == before


@needs("compiler")
def test_distribution_for_this_machine_alone_is_refused(
    repository: Repository, folders: dict[str, str], golden: Golden
) -> None:
    """A wheel with an extension module is for the libraries it was built with; who knows better says so by name."""
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
