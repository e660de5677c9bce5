"""Tests of core.check.shared_libraries: the libraries that the image's loader finds for ELF files of its layers."""

from __future__ import annotations

from typing import Any, Mapping, Optional

import pytest
from conftest import Golden

from slim_ray_image.core.check.layer_contents import (
    KIND_DIRECTORY,
    KIND_FILE,
    KIND_SYMLINK,
    Elf,
    ImageFile,
    LayerContents,
    LayerDistribution,
    image_contents,
)
from slim_ray_image.core.check.shared_libraries import (
    NODE_LIBRARIES,
    library_problems,
    missing_libraries,
)
from slim_ray_image.core.errors import format_problems
from slim_ray_image.core.platforms import LINUX_AMD64

MACHINE = "EM_X86_64/64"
SITE = "/opt/venv/lib/python3.10/site-packages"
TRIPLET = "usr/lib/x86_64-linux-gnu"


def elf(
    *needed: str, soname: Optional[str] = None, search: tuple[str, ...] = (), machine: str = MACHINE
) -> ImageFile:
    return ImageFile(KIND_FILE, 0o644, 0, 0, elf=Elf(machine, needed, soname, search))


def link(target: str) -> ImageFile:
    return ImageFile(KIND_SYMLINK, 0o777, 0, 0, link=target)


def text(content: str) -> ImageFile:
    return ImageFile(KIND_FILE, 0o644, 0, 0, text=content)


# Laid out like Debian: /lib and /lib64 are symlinks, and the name of a library is a symlink to its file.
BASE: Mapping[str, ImageFile] = {
    "usr": ImageFile(KIND_DIRECTORY, 0o755, 0, 0),
    "lib": link("usr/lib"),
    "lib64": link("usr/lib64"),
    f"{TRIPLET}/ld-linux-x86-64.so.2": elf(),
    "usr/lib64/ld-linux-x86-64.so.2": link("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
    f"{TRIPLET}/libc.so.6": elf(soname="libc.so.6"),
    f"{TRIPLET}/libz.so.1.2.13": elf(soname="libz.so.1"),
    f"{TRIPLET}/libz.so.1": link("libz.so.1.2.13"),
    "usr/local/lib/libpython3.10.so.1.0": elf(),
    "etc/ld.so.conf": text("include /etc/ld.so.conf.d/*.conf\n"),
    "etc/ld.so.conf.d/libc.conf": text("# libc default configuration\n/usr/local/lib\n"),
}


def distribution(name: str, *binaries: str, requires: tuple[str, ...] = ()) -> LayerDistribution:
    return LayerDistribution(name, "1.0", requires, (), tuple(f"{SITE}/{b}" for b in binaries))


def missing_in(
    files: Mapping[str, ImageFile],
    *distributions: LayerDistribution,
    base: Mapping[str, ImageFile] = BASE,
    environment: Mapping[str, str] = {},
) -> Any:
    own = {f"{SITE[1:]}/{path}": file for path, file in files.items()}
    contents = image_contents(
        [LayerContents(tuple(base.items()), ())],
        [LayerContents(tuple(own.items()), distributions)],
    )
    return missing_libraries(contents, LINUX_AMD64, environment, NODE_LIBRARIES)


def names_missing_in(files: Mapping[str, ImageFile], *distributions: Any, **more: Any) -> list[str]:
    return [missing.library for missing in missing_in(files, *distributions, **more)]


def test_libraries_of_the_base_are_found() -> None:
    """Libraries are found in the loader's default directories, in those of ld.so.conf, and through a symlink."""
    assert names_missing_in({"a.so": elf("libc.so.6", "libz.so.1", "libpython3.10.so.1.0")}) == []


def test_library_that_nothing_has_is_missing() -> None:
    """A missing library is reported with the file that needs it and the file's distribution."""
    (missing,) = missing_in(
        {"trees/lib_trees.so": elf("libc.so.6", "libgomp.so.1")},
        distribution("trees", "trees/lib_trees.so"),
    )
    assert missing.library == "libgomp.so.1"
    assert missing.path == f"{SITE}/trees/lib_trees.so"
    assert str(missing.distribution) == "trees 1.0"


@pytest.mark.parametrize("origin", ["$ORIGIN", "${ORIGIN}"])
def test_bundled_library_is_found_by_the_file_s_own_path(origin: str) -> None:
    """A relative search path of an extension module leads to the libraries that its wheel bundles."""
    files = {
        "pkg/core/ext.so": elf("libx-1.so", search=(f"{origin}/../../pkg.libs",)),
        "pkg.libs/libx-1.so": elf(),
    }
    assert names_missing_in(files) == []
    files["pkg/core/ext.so"] = elf("libx-1.so", search=(f"{origin}/../pkg.libs",))
    assert names_missing_in(files) == ["libx-1.so"]


def test_library_that_its_distribution_has_loaded_already_is_found() -> None:
    """A file without a search path finds a library of its own distribution, such as scipy's libquadmath."""
    files = {"scipy.libs/libgfortran.so.5": elf("libquadmath.so.0"), "x.libs/q.so": elf()}
    scipy = distribution("scipy", "scipy.libs/libgfortran.so.5", "scipy.libs/libquadmath.so.0")
    assert names_missing_in(files, scipy) == ["libquadmath.so.0"]
    files["scipy.libs/libquadmath.so.0"] = elf()
    assert names_missing_in(files, scipy) == []


def test_library_of_another_distribution_is_found_by_who_requires_that() -> None:
    """A file finds a library of another distribution only if its own distribution requires the other."""
    files = {"torch/lib.so": elf("libcublas.so.12"), "nvidia/b.so": elf(soname="libcublas.so.12")}
    cublas = distribution("nvidia-cublas", "nvidia/b.so")
    alone = distribution("torch", "torch/lib.so")
    assert names_missing_in(files, cublas, alone) == ["libcublas.so.12"]
    torch = distribution(
        "torch", "torch/lib.so", requires=("nvidia_cublas==12.1; os_name != 'nt'",)
    )
    assert names_missing_in(files, cublas, torch) == []


def test_library_is_found_by_who_requires_its_distribution_by_way_of_another() -> None:
    """Indirect requirements count, like torchaudio's on CUDA through torch; a circle of requirements does no harm."""
    files = {"audio/lib.so": elf("libcudart.so.12"), "nvidia/r.so": elf(soname="libcudart.so.12")}
    distributions = (
        distribution("torchaudio", "audio/lib.so", requires=("torch==2.7",)),
        distribution("torch", requires=("nvidia-cuda-runtime", "torchaudio; extra == 'audio'")),
        distribution("nvidia-cuda-runtime", "nvidia/r.so"),
    )
    assert names_missing_in(files, *distributions) == []


def test_file_that_its_distribution_does_without_needs_nothing() -> None:
    """An optional file, such as one of numba's thread pools, may lack its libraries."""
    name = "numba/np/ufunc/{}.cpython-310-x86_64-linux-gnu.so"
    files = {name.format(module): elf("libtbb.so.12") for module in ("tbbpool", "omppool", "other")}
    (missing,) = missing_in(files)
    assert missing.path == f"{SITE}/{name.format('other')}"


def test_libraries_of_the_node_are_not_expected() -> None:
    """Libraries of a GPU's driver may be missing, since the node mounts them into containers."""
    assert names_missing_in({"a.so": elf("libcuda.so.1", "libnvidia-ml.so.1")}) == []


def test_files_for_another_machine_are_left_alone_and_are_no_library() -> None:
    """A file for another machine needs no libraries, and does not count as a library itself."""
    other = "EM_386/32"
    assert names_missing_in({"attach_x86.so": elf("libgone.so.1", machine=other)}) == []
    files = {"a.so": elf("libb.so", search=("$ORIGIN",)), "libb.so": elf(machine=other)}
    assert names_missing_in(files) == ["libb.so"]


def test_environment_of_the_image_is_searched() -> None:
    """Directories in the image's LD_LIBRARY_PATH are searched."""
    files = {"a.so": elf("libb.so"), "b/libb.so": elf()}
    assert names_missing_in(files) == ["libb.so"]
    assert names_missing_in(files, environment={"LD_LIBRARY_PATH": f"{SITE}/b"}) == []


def test_library_that_an_upper_layer_of_the_base_removes_is_missing() -> None:
    """A library that a whiteout in the base removes is missing."""
    contents = image_contents(
        [
            LayerContents(tuple(BASE.items()), ()),
            LayerContents(((f"{TRIPLET}/.wh.libz.so.1.2.13", text("")),), ()),
        ],
        [LayerContents(((f"{SITE[1:]}/a.so", elf("libz.so.1")),), ())],
    )
    found = missing_libraries(contents, LINUX_AMD64, {}, ())
    assert [missing.library for missing in found] == ["libz.so.1"]


def test_problem_names_file_distribution_library_and_fix(golden: Golden) -> None:
    """Each library is one problem, with every file that needs it and, if known, the Debian package."""
    missing = missing_in(
        {
            "trees/lib_trees.so": elf("libgomp.so.1"),
            "trees/more.so": elf("libgomp.so.1", "libodd.so.3"),
        },
        distribution("trees", "trees/lib_trees.so"),
    )
    problems = library_problems("src/app:image", "python:3.10-slim", missing)
    golden.check("errors/check/check-libraries.txt", format_problems(problems))
