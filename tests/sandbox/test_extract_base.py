"""Tests of sandbox.base.extract_base: applying layers, and extracting the interpreter and the facts of a base."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest
from conftest import (
    Golden,
    TarMember,
    error_text,
    make_layer_tar,
    tar_directory,
    tar_file,
    tar_hard_link,
    tar_symlink,
)

from slim_ray_image.core.base.base_facts import (
    BaseFacts,
    BaseFactsRequest,
    LayerSize,
    MarkerEnvironment,
)
from slim_ray_image.core.platforms import LINUX_AMD64
from slim_ray_image.core.wire import from_json
from slim_ray_image.sandbox.base.extract_base import (
    _extract_interpreter,
    _find_python,
    _glibc_version,
    _interpreter_files,
    _library_directories,
    _programs,
    _RootFilesystem,
    _run_interpreter,
    _shared_objects,
    main,
)

REFERENCE = "python:3.10-slim"


def root_of(*layers: list[TarMember]) -> _RootFilesystem:
    """Return the file system of these layers, lowest first."""
    return _RootFilesystem(
        [make_layer_tar(Path(f"{number}.tar.gz"), *layer) for number, layer in enumerate(layers)]
    )


def paths_of(*layers: list[TarMember]) -> list[str]:
    return sorted(root_of(*layers).entries)


# --- Changesets


def test_upper_layer_adds_and_replaces(sandbox: Path) -> None:
    """A file of an upper layer replaces the same path of a lower layer, whose other files remain."""
    root = root_of(
        [tar_directory("etc"), tar_file("etc/a", "lower"), tar_file("etc/b", "lower")],
        [tar_file("etc/b", "upper"), tar_file("etc/c", "upper")],
    )
    assert [root.read(f"/etc/{name}") for name in "abcd"] == [b"lower", b"upper", b"upper", None]


def test_names_are_absolute_in_the_image_however_they_are_written(sandbox: Path) -> None:
    """`a`, `./a` and `/a` in a tar are one path, and `.` is the root."""
    assert paths_of(
        [tar_directory("./"), tar_file("./a"), tar_file("/b"), tar_file("c"), tar_file("/d/e")]
    ) == ["/", "/a", "/b", "/c", "/d/e"]


def test_whiteout_removes_a_file_or_a_whole_directory(sandbox: Path) -> None:
    """`.wh.NAME` removes NAME and its content from lower layers, and is no file itself."""
    assert paths_of(
        [
            tar_directory("d"),
            tar_file("d/x"),
            tar_directory("d/e"),
            tar_file("d/e/y"),
            tar_file("f"),
        ],
        [tar_file(".wh.f"), tar_file("d/.wh.e")],
    ) == ["/d", "/d/x"]


def test_whiteout_removes_no_name_that_only_starts_alike(sandbox: Path) -> None:
    """Removing /lib leaves /lib64."""
    assert paths_of(
        [tar_directory("lib"), tar_file("lib/a"), tar_directory("lib64"), tar_file("lib64/a")],
        [tar_file(".wh.lib")],
    ) == ["/lib64", "/lib64/a"]


@pytest.mark.parametrize("is_first", [True, False], ids=["whiteout first", "whiteout last"])
def test_whiteout_leaves_what_its_own_layer_has(sandbox: Path, is_first: bool) -> None:
    """A whiteout removes files of lower layers only, wherever it is in its layer."""
    upper = [tar_file("a", "upper"), tar_directory("d"), tar_file("d/new", "upper")]
    whiteouts = [tar_file(".wh.a"), tar_file("d/.wh..wh..opq")]
    root = root_of(
        [tar_file("a", "lower"), tar_directory("d"), tar_file("d/old"), tar_file("d/new", "lower")],
        [*whiteouts, *upper] if is_first else [*upper, *whiteouts],
    )
    assert sorted(root.entries) == ["/a", "/d", "/d/new"]
    assert (root.read("/a"), root.read("/d/new")) == (b"upper", b"upper")


def test_opaque_directory_hides_what_is_below_and_stays_itself(sandbox: Path) -> None:
    """`.wh..wh..opq` removes the content that a directory has from lower layers, and nothing else."""
    assert paths_of(
        [
            tar_directory("d"),
            tar_file("d/a"),
            tar_directory("d/e"),
            tar_file("d/e/b"),
            tar_file("f"),
        ],
        [tar_directory("d"), tar_file("d/.wh..wh..opq"), tar_file("d/c")],
    ) == ["/d", "/d/c", "/f"]


def test_whiteout_of_what_is_not_there_does_nothing(sandbox: Path) -> None:
    """A whiteout without a target is no error."""
    assert paths_of([tar_file("a")], [tar_file(".wh.b"), tar_file("d/.wh..wh..opq")]) == ["/a"]


def test_file_in_place_of_a_directory_hides_all_that_was_in_it(sandbox: Path) -> None:
    """When an upper layer has a file or a symlink where a directory was, the directory is gone."""
    lower = [tar_directory("d"), tar_file("d/a"), tar_directory("e"), tar_file("e/b")]
    assert paths_of(lower, [tar_file("d"), tar_symlink("e", "d")]) == ["/d", "/e"]


def test_directory_again_keeps_what_is_in_it(sandbox: Path) -> None:
    """A directory that an upper layer repeats, for example with another mode, keeps its files."""
    assert paths_of([tar_directory("d"), tar_file("d/a")], [tar_directory("d", 0o700)]) == [
        "/d",
        "/d/a",
    ]


def test_sizes_of_a_layer_are_of_its_regular_files(sandbox: Path) -> None:
    """A layer's size and count include all its regular files, even ones that upper layers hide."""
    root = root_of(
        [tar_directory("d"), tar_file("d/a", "12345"), tar_symlink("l", "d/a")],
        [tar_file("b", "123"), tar_file("c", "12"), tar_hard_link("h", "b")],
    )
    assert root.layer_sizes == [LayerSize(5, 1), LayerSize(5, 2)]


# --- Links


MERGED_USR = [
    tar_directory("usr"),
    tar_directory("usr/lib"),
    tar_directory("usr/lib64"),
    tar_symlink("lib", "usr/lib"),
    tar_symlink("lib64", "usr/lib64"),
    tar_file("usr/lib/libc.so.6", "libc"),
]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/lib/libc.so.6", "/usr/lib/libc.so.6", id="symlinked directory"),
        pytest.param("/usr/lib/libc.so.6", "/usr/lib/libc.so.6", id="itself"),
        pytest.param("/absolute/x", "/usr/lib/x", id="absolute target"),
        pytest.param("/usr/chain/x", "/usr/lib/x", id="symlink to a symlink"),
        pytest.param("/usr/up", "/usr/lib/libc.so.6", id="target above"),
        pytest.param("/out", "/etc", id="no way out of the root"),
        pytest.param("/none/x", "/none/x", id="nothing there"),
        pytest.param("/", "/", id="root"),
    ],
)
def test_symlinks_are_followed_inside_the_image(sandbox: Path, path: str, expected: str) -> None:
    """A path is resolved through every symlink, relative to the image's root."""
    root = root_of(
        [
            *MERGED_USR,
            tar_symlink("absolute", "/lib"),
            tar_symlink("usr/chain", "../absolute"),
            tar_symlink("usr/up", "../lib/libc.so.6"),
            tar_symlink("out", "../../../etc"),
        ]
    )
    assert root.resolve(path) == expected


def test_circle_of_symlinks_ends(sandbox: Path) -> None:
    """A path through circular symlinks is no file."""
    root = root_of([tar_symlink("a", "b"), tar_symlink("b", "a"), tar_symlink("c", "c/c")])
    assert not root.is_file("/a")
    assert not root.is_file("/c")


def test_upper_layer_may_write_through_a_symlink_of_a_lower_one(sandbox: Path) -> None:
    """If /lib is a symlink, lib/x of an upper layer is usr/lib/x, and so are whiteouts."""
    root = root_of(
        MERGED_USR,
        [tar_file("lib/new.so", "new"), tar_file("lib/.wh.libc.so.6")],
        [tar_directory("lib/sub"), tar_file("lib/sub/a")],
    )
    assert root.read("/lib/new.so") == root.read("/usr/lib/new.so") == b"new"
    assert root.read("/usr/lib/libc.so.6") is None
    assert {"/usr/lib/sub", "/usr/lib/sub/a"} <= set(root.entries)
    assert root.entries["/lib"][1].issym()


def test_hard_link_has_the_content_of_its_target(sandbox: Path) -> None:
    """A hard link is a file with the content of its target in the same layer."""
    root = root_of(
        [tar_file("bin/perl", "lower")],
        [tar_file("bin/perl", "perl", 0o755), tar_hard_link("bin/perl5", "bin/perl")],
        [tar_file("bin/.wh.perl"), tar_file("./bin/a", "a"), tar_hard_link("/bin/b", "/bin/a")],
    )
    assert root.is_file("/bin/perl5")
    assert (root.read("/bin/perl5"), root.read("/bin/perl")) == (b"perl", None)
    assert root.read("/bin/b") == b"a"


def test_directories_are_those_and_the_symlinks_to_them(sandbox: Path) -> None:
    """A symlink to a directory is listed, since a tar entry would replace it; a symlink to a file is not."""
    root = root_of(
        [*MERGED_USR, tar_symlink("libc", "lib/libc.so.6"), tar_symlink("dangling", "nowhere")]
    )
    assert root.directories() == ["/lib", "/lib64", "/usr", "/usr/lib", "/usr/lib64"]


def test_children_are_what_is_directly_in_a_directory(sandbox: Path) -> None:
    """The children of a directory exclude deeper paths and the directory itself."""
    root = root_of(
        [
            tar_directory("a"),
            tar_file("a/c"),
            tar_file("a/b"),
            tar_directory("a/d"),
            tar_file("a/d/e"),
        ]
    )
    assert root.children("/a") == ["/a/b", "/a/c", "/a/d"]


def test_files_are_read_with_their_names_and_modes(sandbox: Path) -> None:
    """Files of every layer are read by real path and yielded under the requested name; others are skipped."""
    root = root_of(
        [tar_file("a", "A"), tar_file("b", "B", 0o755), tar_directory("d")], [tar_file("c", "C")]
    )
    wanted = {"/c": "third", "/a": "first", "/b": "second", "/d": "directory", "/none": "none"}
    assert sorted(root.read_all(wanted)) == [
        ("first", b"A", False),
        ("second", b"B", True),
        ("third", b"C", False),
    ]


# --- The interpreter


@pytest.mark.parametrize(
    ("members", "search_path", "expected"),
    [
        pytest.param(
            [
                tar_file("usr/local/bin/python3.10"),
                tar_symlink("usr/local/bin/python3", "python3.10"),
                tar_symlink("usr/local/bin/python", "python3"),
            ],
            ["/usr/local/bin", "/usr/bin"],
            "/usr/local/bin/python3.10",
            id="python:3.10-slim",
        ),
        pytest.param(
            [
                tar_file("usr/bin/python3.9"),
                tar_symlink("usr/bin/python3", "python3.9"),
                tar_file("opt/python/bin/python3.12"),
                tar_symlink("opt/python/bin/python", "/opt/python/bin/python3.12"),
            ],
            ["/opt/python/bin", "/usr/bin"],
            "/opt/python/bin/python3.12",
            id="first of PATH, called python alone",
        ),
        pytest.param(
            [
                tar_directory("usr"),
                tar_directory("usr/bin"),
                tar_symlink("bin", "usr/bin"),
                tar_file("usr/bin/python3.11"),
                tar_symlink("usr/bin/python3", "python3.11"),
            ],
            ["/usr/local/bin", "/bin"],
            "/usr/bin/python3.11",
            id="in a symlinked directory",
        ),
    ],
)
def test_interpreter_is_the_first_on_the_base_s_path(
    sandbox: Path, members: list[TarMember], search_path: list[str], expected: str
) -> None:
    """The interpreter is the first `python3` or `python` on the base's PATH."""
    assert _find_python(root_of(members), search_path, REFERENCE) == expected


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([tar_file("usr/bin/perl")], id="none"),
        pytest.param([tar_symlink("usr/bin/python3", "python3.10")], id="dangling"),
        pytest.param([tar_file("usr/bin/python3")], id="of no version"),
        pytest.param(
            [tar_file("usr/bin/python2.7"), tar_symlink("usr/bin/python", "python2.7")], id="2"
        ),
        pytest.param([tar_directory("usr/bin/python3.10")], id="directory"),
        pytest.param([tar_file("opt/bin/python3.10")], id="not on PATH"),
    ],
)
def test_base_without_an_interpreter_is_an_error(
    sandbox: Path, golden: Golden, members: list[TarMember]
) -> None:
    """A base without a Python 3 on its PATH is rejected, with the searched directories."""
    search_path = ["/usr/local/bin", "/usr/bin"]
    text = error_text(lambda: _find_python(root_of(members), search_path, REFERENCE))
    golden.check("errors/base/base-without-python.txt", text)


def test_programs_are_those_of_path_beside_the_interpreter(sandbox: Path) -> None:
    """Each command has its path on PATH, except directories, dangling links and commands beside the interpreter."""
    root = root_of(
        [
            *MERGED_USR,
            tar_directory("usr/bin"),
            tar_symlink("bin", "usr/bin"),
            tar_file("usr/bin/grep", "", 0o755),
            tar_symlink("usr/bin/awk", "mawk"),
            tar_file("usr/bin/mawk", "", 0o755),
            tar_symlink("usr/bin/gone", "nowhere"),
            tar_directory("usr/bin/folder"),
            tar_file("usr/local/bin/python3.10", "", 0o755),
            tar_file("usr/local/bin/pip", "", 0o755),
            tar_file("sbin/grep", "", 0o755),
            tar_file("opt/grep2", "", 0o755),
        ]
    )
    search_path = ["/usr/local/bin", "/bin", "/sbin", "/usr/bin"]
    assert _programs(root, search_path, "/usr/local/bin/python3.10") == {
        "awk": "/bin/awk",
        "grep": "/bin/grep",
        "mawk": "/bin/mawk",
    }


STATUS = """\
Package: libc-bin
Status: install ok installed
Version: 2.99-1

Package: libc6
Status: {status}
Architecture: amd64
Version: {version}
Description: GNU C Library
 Package: libc6

Package: zlib1g
Version: 1:1.2
"""


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.36-9+deb12u10", "2.36"), ("2.41-12", "2.41"), ("1:2.31-0ubuntu9", "2.31")],
)
def test_glibc_is_the_one_that_dpkg_knows(sandbox: Path, version: str, expected: str) -> None:
    """The glibc version comes from Debian's package libc6."""
    status = STATUS.format(status="install ok installed", version=version)
    root = root_of([tar_file("var/lib/dpkg/status", status)])
    assert _glibc_version(root, LINUX_AMD64, REFERENCE) == expected


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(None, id="no dpkg"),
        pytest.param("", id="empty"),
        pytest.param(
            STATUS.format(status="deinstall ok config-files", version="2.36"), id="removed"
        ),
    ],
)
def test_glibc_without_dpkg_is_the_one_that_the_library_names(
    sandbox: Path, status: Optional[str]
) -> None:
    """If dpkg does not have the version, it comes from the banner in libc.so.6, even behind a symlink."""
    banner = "\x7fELF\0GNU C Library (GNU libc) stable release version 2.34.\nCompiled by\0"
    root = root_of(
        [
            tar_file("usr/lib64/libc-2.34.so", banner),
            tar_symlink("usr/lib64/libc.so.6", "libc-2.34.so"),
            *([tar_file("var/lib/dpkg/status", status)] if status is not None else []),
        ]
    )
    assert _glibc_version(root, LINUX_AMD64, REFERENCE) == "2.34"


def test_base_with_musl_is_an_error(sandbox: Path, golden: Golden) -> None:
    """A base with musl as its C library is rejected, since Ray has no wheels for musl."""
    root = root_of([tar_file("lib/ld-musl-x86_64.so.1")])
    text = error_text(lambda: _glibc_version(root, LINUX_AMD64, "python:3.10-alpine"))
    golden.check("errors/base/base-with-musl.txt", text)


@pytest.mark.parametrize("libc", [None, "no banner"])
def test_base_without_a_known_c_library_is_an_error(sandbox: Path, libc: Optional[str]) -> None:
    """A base with an unknown glibc version is rejected, with the searched places."""
    root = root_of([tar_file("lib/libc.so.6", libc)] if libc else [])
    assert error_text(lambda: _glibc_version(root, LINUX_AMD64, REFERENCE)) == (
        "The base image python:3.10-slim has no glibc whose version can be found.\n"
        "\n"
        "  * looked for libc6 in /var/lib/dpkg/status, and for libc.so.6\n"
        "\n"
        "To fix, use a base image with glibc, such as 'python:3.10-slim'."
    )


PYTHON = "/usr/local/bin/python3.10"
LOADER = "/usr/lib64/ld-linux-x86-64.so.2"


def base_layer(loader: str) -> list[TarMember]:
    """Return a layer with an interpreter in a file system like Debian 13's; its loader is the program `loader`."""
    return [
        *MERGED_USR,
        tar_directory("usr/lib/x86_64-linux-gnu"),
        tar_file("usr/lib/x86_64-linux-gnu/libz.so.1.3", "libz"),
        tar_symlink("usr/lib/x86_64-linux-gnu/libz.so.1", "libz.so.1.3"),
        tar_symlink("usr/lib/x86_64-linux-gnu/libgone.so", "nowhere"),
        tar_file("usr/lib/x86_64-linux-gnu/notes.txt"),
        tar_file("usr/lib64/ld-linux-x86-64.so.2", loader, 0o755),
        tar_directory("usr/local"),
        tar_directory("usr/local/bin"),
        tar_file("usr/local/bin/python3.10", "python", 0o755),
        tar_symlink("usr/local/bin/python3", "python3.10"),
        tar_file("usr/local/bin/pip", "", 0o755),
        tar_directory("usr/local/lib"),
        tar_file("usr/local/lib/libpython3.10.so.1.0", "libpython"),
        tar_directory("usr/local/lib/python3.10"),
        tar_file("usr/local/lib/python3.10/os.py", "import sys"),
        tar_file("usr/local/lib/python3.10/lib-dynload/zlib.so", "zlib"),
        tar_file("usr/local/lib/python3.10/test/test_os.py"),
        tar_file("usr/local/lib/python3.10/site-packages/pip/__init__.py"),
        tar_file("usr/local/lib/python3.10/__pycache__/os.cpython-310.pyc"),
        tar_file("usr/local/lib/python3.100/os.py"),
        tar_file(
            "var/lib/dpkg/status", STATUS.format(status="install ok installed", version="2.41")
        ),
        tar_file("etc/passwd", b"root:x:0:0::/root:/bin/sh\njos\xe9:x:1:1::/:/bin/sh\n"),
    ]


def test_libraries_are_looked_for_in_each_real_directory_once(sandbox: Path) -> None:
    """The library directories are the interpreter's own and the base's, symlinks resolved, without duplicates."""
    root = root_of(base_layer(""))
    assert _library_directories(root, LINUX_AMD64, "/usr/local") == [
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    ]


def test_shared_objects_have_every_name_they_go_by(sandbox: Path) -> None:
    """A library is listed under its file name and each symlink to it; other files and dangling links are not."""
    root = root_of(base_layer(""))
    directory = "/usr/lib/x86_64-linux-gnu"
    assert list(_shared_objects(root, [directory])) == [
        (f"{directory}/libz.so.1.3", f"{directory}/libz.so.1"),
        (f"{directory}/libz.so.1.3", f"{directory}/libz.so.1.3"),
    ]


def test_interpreter_is_its_program_loader_and_standard_library(sandbox: Path) -> None:
    """Files that the build does not need are omitted: tests, site-packages, bytecode, another version's library."""
    assert sorted(_interpreter_files(root_of(base_layer("")), PYTHON, LOADER)) == [
        LOADER,
        PYTHON,
        "/usr/local/lib/python3.10/lib-dynload/zlib.so",
        "/usr/local/lib/python3.10/os.py",
    ]


ECHO = """#!/bin/sh
printf '%s\\n' "$SLIM_RAY_IMAGE_BASE_ROOT" "$@"
"""


def extract(loader: str) -> str:
    return _extract_interpreter(root_of(base_layer(loader)), LINUX_AMD64, PYTHON)


def test_interpreter_is_extracted_with_its_libraries(sandbox: Path) -> None:
    """Files are under `base` at their image paths, libraries under each of their names, with their modes."""
    extract(ECHO)
    found = {
        str(path.relative_to("base")): (path.is_symlink(), os.access(path, os.X_OK))
        for path in Path("base").rglob("*")
        if not path.is_dir()
    }
    assert found == {
        "usr/lib/libc.so.6": (False, False),
        "usr/lib/x86_64-linux-gnu/libz.so.1": (False, False),
        "usr/lib/x86_64-linux-gnu/libz.so.1.3": (False, False),
        "usr/lib64/ld-linux-x86-64.so.2": (False, True),
        "usr/local/bin/python-of-the-base": (False, True),
        "usr/local/bin/python3.10": (False, True),
        "usr/local/lib/libpython3.10.so.1.0": (False, False),
        "usr/local/lib/python3.10/lib-dynload/zlib.so": (False, False),
        "usr/local/lib/python3.10/os.py": (False, False),
    }
    assert Path("base/usr/lib/x86_64-linux-gnu/libz.so.1").read_text() == "libz"


@pytest.mark.parametrize("is_told", [False, True], ids=["finds its root", "is told its root"])
def test_launcher_runs_the_interpreter_by_the_base_s_own_loader(
    sandbox: Path, tmp_path: Path, is_told: bool
) -> None:
    """The launcher runs the base's interpreter with the base's loader, from any working directory."""
    launcher = extract(ECHO)
    assert launcher == "/usr/local/bin/python-of-the-base"
    program = str(sandbox / f"base{launcher}")
    root = str(sandbox / "base")
    ran = subprocess.run(
        [program, "-c", "print('a b')"],
        cwd=tmp_path,
        env={"SLIM_RAY_IMAGE_BASE_ROOT": root} if is_told else {},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    directories = ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"]
    assert ran.stdout.splitlines() == [
        root,
        "--inhibit-cache",
        "--library-path",
        ":".join(root + directory for directory in directories),
        "--argv0",
        program,
        f"{root}{PYTHON}",
        "-c",
        "print('a b')",
    ]


def test_interpreter_that_does_not_run_is_an_error(sandbox: Path) -> None:
    """An interpreter that cannot run on this machine is reported with the loader's last lines."""
    launcher = extract("#!/bin/sh\nfor n in 1 2 3 4; do echo line $n >&2; done; exit 127\n")
    assert error_text(lambda: _run_interpreter(launcher, REFERENCE)) == (
        "The interpreter of the base image python:3.10-slim does not run on this machine.\n"
        "\n"
        "  * line 2\n"
        "  * line 3\n"
        "  * line 4\n"
        "\n"
        "To fix, build on Linux of the image's architecture, with a base image of glibc 2.33 or newer."
    )


# Replaces the base's loader: drops the loader's arguments and runs the Python of the tests.
THIS_PYTHON = f'#!/bin/sh\nshift 6\nexec "{sys.executable}" "$@"\n'


def extract_request(python_version: str) -> BaseFactsRequest:
    blobs = (
        make_layer_tar(Path("0.tar.gz"), *base_layer(THIS_PYTHON)),
        make_layer_tar(Path("1.tar.gz"), tar_file("usr/local/bin/serve", "123", 0o755)),
    )
    environment = {"PATH": "/usr/local/bin", "PYTHON_VERSION": python_version}
    return BaseFactsRequest(REFERENCE, blobs, "linux/amd64", environment)


def test_facts_of_the_base_are_written(sandbox: Path) -> None:
    """base.json has the facts that the build needs, even from files that are not UTF-8."""
    main(extract_request(platform.python_version()))
    facts = from_json(BaseFacts, Path("base.json").read_bytes())
    assert {"/lib", "/usr/local/bin", "/usr/lib/x86_64-linux-gnu"} <= set(facts.directories)
    members = base_layer(THIS_PYTHON)
    assert replace(facts, directories=()) == BaseFacts(
        launcher="/usr/local/bin/python-of-the-base",
        python=PYTHON,
        python_version=platform.python_version(),
        glibc="2.41",
        marker_environment=MarkerEnvironment(
            implementation_name="cpython",
            implementation_version=platform.python_version(),
            os_name="posix",
            platform_machine=platform.machine(),
            platform_python_implementation="CPython",
            platform_release="",
            platform_system=platform.system(),
            platform_version="",
            python_full_version=platform.python_version(),
            python_version=f"{sys.version_info[0]}.{sys.version_info[1]}",
            sys_platform=sys.platform,
        ),
        directories=(),
        commands=("pip", "python3", "python3.10", "serve"),
        programs=(),
        has_bytecode=any("/__pycache__/os.cpython-" in info.name for info, _ in members),
        passwd="root:x:0:0::/root:/bin/sh\njos\udce9:x:1:1::/:/bin/sh\n",
        group="",
        layer_sizes=(
            LayerSize(
                sum(len(content) for _, content in members),
                sum(info.isreg() for info, _ in members),
            ),
            LayerSize(3, 1),
        ),
    )


def test_base_whose_config_names_another_version_is_an_error(sandbox: Path) -> None:
    """A base whose PYTHON_VERSION differs from its interpreter's version is rejected, with both versions."""
    assert error_text(lambda: main(extract_request("3.0.1"))) == (
        "The base image python:3.10-slim has PYTHON_VERSION 3.0.1, but its /usr/local/bin/python3.10 is "
        f"{platform.python_version()}.\n"
        "\n"
        "To fix, use a base image whose PYTHON_VERSION is the version of its interpreter."
    )
