"""Tests of sandbox.write_layer: the layers of distributions."""

from __future__ import annotations

import io
import itertools
import os
import random
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Sequence

import pytest
from conftest import Layer, error_text, layer_item, make_deps_zip, record_line

from slim_ray_image.sandbox.deterministic_tar import LayerWriter
from slim_ray_image.sandbox.write_layer import write_distributions

VENV = "opt/venv"
SITE_PACKAGES = f"{VENV}/lib/python3.10/site-packages"
TAG = sys.implementation.cache_tag
BASE_DIRECTORIES = ["/", "/opt", "/usr", "/usr/local", "/usr/local/bin"]
DEPS = Path("deps")


def write(
    *files: str,
    virtual_environment: bool = False,
    bytecode: bool = False,
    directories: Sequence[str] = BASE_DIRECTORIES,
    commands: Sequence[str] = (),
) -> bytes:
    """The blob of the layer of these zips in `deps`."""
    sink = io.BytesIO()
    with closing(LayerWriter(sink)) as writer:
        write_distributions(
            {
                "distributions": [layer_item(file) for file in files],
                "prune": [],
                "exclude_files": [],
                "virtual_environment": virtual_environment,
                "bytecode": bytecode,
                "base": {
                    "python": "/usr/local/bin/python3.10",
                    "python_version": "3.10.13",
                    "directories": list(directories),
                    "commands": list(commands),
                },
            },
            writer,
        )
    return sink.getvalue()


def files_of(layer: Layer) -> list[str]:
    """Paths of what is no directory, without the metadata of the distributions."""
    return [n for n, m in layer.members.items() if not m.isdir() and ".dist-info" not in n]


# --- Where files go


def test_files_go_to_site_packages(sandbox: Path) -> None:
    """A distribution's modules and metadata are installed; what Pex noted for itself is not."""
    file = make_deps_zip(DEPS, "foo", files={"foo/__init__.py": "x = 1", "foo_data.txt": "y"})
    layer = Layer(write(file))
    assert sorted(layer.contents) == [
        f"{SITE_PACKAGES}/foo-1.0.dist-info/METADATA",
        f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD",
        f"{SITE_PACKAGES}/foo/__init__.py",
        f"{SITE_PACKAGES}/foo_data.txt",
    ]
    assert layer.contents[f"{SITE_PACKAGES}/foo/__init__.py"] == b"x = 1"


@pytest.mark.parametrize(
    ("stashed", "placed"),
    [
        ("bin/tool.sh", f"{VENV}/bin/tool.sh"),
        ("data/share/man/foo.1", f"{VENV}/share/man/foo.1"),
        ("data/etc/foo.conf", f"{VENV}/etc/foo.conf"),
        ("include/site/pythonX.Y/foo/foo.h", f"{VENV}/include/site/python3.10/foo/foo.h"),
        ("purelib/foo.py", f"{SITE_PACKAGES}/foo.py"),
        ("platlib/foo.so", f"{SITE_PACKAGES}/foo.so"),
    ],
)
def test_stashed_files_go_where_the_wheel_meant_them(
    sandbox: Path, stashed: str, placed: str
) -> None:
    """What Pex stashed goes where pip would install each of a wheel's schemes (PEP 427)."""
    file = make_deps_zip(DEPS, "foo", files={f".prefix/{stashed}": "content"})
    layer = Layer(write(file))
    assert files_of(layer) == [placed]
    assert layer.contents[placed] == b"content"


def test_file_with_a_control_character_is_refused(sandbox: Path) -> None:
    """Of a zip that neither uv nor Pex has looked at, no name gets through."""
    for name in ("a\nb.py", ".prefix/bin/a\rb"):
        file = make_deps_zip(DEPS, "foo", files={name: ""})
        with pytest.raises(ValueError, match="A name has control characters: "):
            write(file)


def test_bytecode_that_a_distribution_brings_is_left_out(sandbox: Path) -> None:
    """A pyc of another machine is not installed, nor in RECORD."""
    file = make_deps_zip(
        DEPS, "foo", files={"foo/a.py": "", "foo/__pycache__/a.cpython-310.pyc": "theirs"}
    )
    layer = Layer(write(file))
    assert files_of(layer) == [f"{SITE_PACKAGES}/foo/a.py"]
    assert b"pycache" not in layer.contents[f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD"]


def test_metadata_of_a_vendored_distribution_is_a_file_like_others(sandbox: Path) -> None:
    """Only a dist-info folder at the top is the distribution's own."""
    vendored = "foo/_vendor/bar-2.dist-info/entry_points.txt"
    file = make_deps_zip(
        DEPS,
        "foo",
        files={
            vendored: "[console_scripts]\nray = bar:main",
            "foo/_vendor/bar-2.dist-info/METADATA": "Name: bar",
        },
    )
    assert "usr/local/bin/ray" not in Layer(write(file)).names


def test_executables_stay_executable_and_others_do_not_become_it(sandbox: Path) -> None:
    """Mode bits of a zip that say executable are kept, everything in `bin` is executable, the rest is not."""
    file = make_deps_zip(
        DEPS,
        "foo",
        files={"foo/raylet": "ELF", "foo/a.py": "", ".prefix/bin/tool": "#!/bin/sh\n"},
        executables=["foo/raylet"],
    )
    layer = Layer(write(file))
    modes = {name: layer.members[name].mode for name in files_of(layer)}
    assert modes == {
        f"{SITE_PACKAGES}/foo/raylet": 0o755,
        f"{SITE_PACKAGES}/foo/a.py": 0o644,
        f"{VENV}/bin/tool": 0o755,
    }


# --- Scripts


def test_console_script_runs_on_the_environment_s_python(sandbox: Path) -> None:
    """A script of an entry point is written anew, for the interpreter at its final path."""
    file = make_deps_zip(
        DEPS,
        "foo",
        files={".prefix/bin/foo": "#!python\nimport pex_bootstrap"},
        entry_points="[console_scripts]\nfoo = foo.cli:main\n",
    )
    layer = Layer(write(file))
    assert layer.contents[f"{VENV}/bin/foo"].decode() == (
        "#!/opt/venv/bin/python\n"
        "import sys\n"
        "from foo.cli import main\n"
        'if __name__ == "__main__":\n'
        '    sys.argv[0] = sys.argv[0].removesuffix(".exe")\n'
        "    sys.exit(main())\n"
    )
    assert layer.members[f"{VENV}/bin/foo"].mode == 0o755


@pytest.mark.parametrize(
    ("entry_points", "call"),
    [
        pytest.param("[console_scripts]\nfoo=foo.cli:main", "main", id="no spaces"),
        pytest.param("[console_scripts]\nfoo = foo.cli : app.run [fast]", "app.run", id="extras"),
        pytest.param("[gui_scripts]\nfoo = foo.cli:main", "main", id="GUI"),
        pytest.param("[x]\na%b = c\n[console_scripts]\nfoo = foo.cli:main", "main", id="others"),
        pytest.param(
            "[console_scripts]\nfoo = old:x\nfoo = foo.cli:main",
            "main",
            id="repeated, the last wins",
        ),
    ],
)
def test_console_script_calls_its_entry_point(sandbox: Path, entry_points: str, call: str) -> None:
    """The script imports the module, calls the attribute and exits with what that returns."""
    file = make_deps_zip(
        DEPS, "foo", files={".prefix/bin/foo": "#!python\n"}, entry_points=entry_points
    )
    script = sandbox / "foo-script"
    script.write_bytes(Layer(write(file)).contents[f"{VENV}/bin/foo"])
    package = sandbox / "foo"
    package.mkdir()
    (package / "cli.py").write_text(
        "class app:\n    run = staticmethod(lambda: 'called app.run')\n"
        "def main():\n    return 'called main'\n"
    )
    ran = subprocess.run(
        [sys.executable, "-B", script],
        env={"PYTHONPATH": str(sandbox)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (1, f"called {call}\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("#!python\nprint()\n", "#!/opt/venv/bin/python\nprint()\n"),
        ("#!python -u\n#!python\n", "#!/opt/venv/bin/python -u\n#!python\n"),
        ("#!/bin/sh\n#!python\n", "#!/bin/sh\n#!python\n"),
        ("\x7fELF", "\x7fELF"),
    ],
)
def test_shebang_of_another_script_names_the_environment_s_python(
    sandbox: Path, before: str, after: str
) -> None:
    """A script that is no entry point keeps its text, with `#!python` in its first line made a real path."""
    file = make_deps_zip(DEPS, "foo", files={".prefix/bin/foo": before})
    assert Layer(write(file)).contents[f"{VENV}/bin/foo"].decode() == after


SCRIPTS = "[console_scripts]\nray = ray:main\nserve = ray:serve\ntune = ray:tune\n"


@pytest.mark.parametrize(
    ("commands", "linked"),
    [
        pytest.param([], ["ray", "serve"], id="base has neither"),
        pytest.param(["python", "serve"], ["ray"], id="base has one"),
        pytest.param(["ray", "serve"], [], id="base has both"),
    ],
)
def test_ray_and_serve_are_linked_where_a_login_shell_finds_them(
    sandbox: Path, commands: list[str], linked: list[str]
) -> None:
    """`ray` and `serve` are in /usr/local/bin too, unless the base has one there; other scripts are not."""
    file = make_deps_zip(
        DEPS,
        "ray",
        files={f".prefix/bin/{name}": "#!python\n" for name in ("ray", "serve", "tune")},
        entry_points=SCRIPTS,
    )
    layer = Layer(write(file, commands=commands))
    links = {n: m.linkname for n, m in layer.members.items() if n.startswith("usr/local/bin/")}
    assert links == {f"usr/local/bin/{name}": f"/opt/venv/bin/{name}" for name in linked}


# --- RECORD


def test_record_lists_what_is_really_there(sandbox: Path) -> None:
    """RECORD has each installed file with the hash and size of its bytes in the image, and itself without."""
    file = make_deps_zip(
        DEPS,
        "foo",
        files={
            "foo/__init__.py": "x = 1",
            "foo/a, b.txt": "comma",
            ".prefix/bin/foo": "#!python\n",
            ".prefix/data/share/foo.txt": "data",
        },
        entry_points="[console_scripts]\nfoo = foo:main\n",
    )
    layer = Layer(write(file, bytecode=True))
    installed = {
        os.path.relpath(name, SITE_PACKAGES): content
        for name, content in layer.contents.items()
        if not name.endswith((".pyc", "RECORD"))
    }
    lines = [
        record_line(f'"{name}"' if "," in name else name, content)
        for name, content in installed.items()
    ]
    record = layer.contents[f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD"].decode()
    assert sorted(record.splitlines(keepends=True)) == sorted(
        [*lines, "foo-1.0.dist-info/RECORD,,\n"]
    )
    assert {"../../../bin/foo", "../../../share/foo.txt"} <= set(installed)


def test_distribution_without_a_record_gets_none(sandbox: Path) -> None:
    """RECORD is optional; its absence says that no tool may uninstall the distribution."""
    file = make_deps_zip(DEPS, "foo", files={"foo.py": ""}, has_record=False)
    assert f"{SITE_PACKAGES}/foo-1.0.dist-info/RECORD" not in Layer(write(file)).names


# --- Bytecode


def test_every_module_has_its_bytecode(sandbox: Path) -> None:
    """With bytecode, each source that compiles has a pyc beside it, of every distribution in the layer."""
    files = [
        make_deps_zip(
            DEPS, "bar", files={"bar/a.py": "", "bar/b.c.py": "", "bar/template.py": "{{ x }} ="}
        ),
        make_deps_zip(DEPS, "foo", files={"foo.py": "", "foo.pyi": "", "foo.txt": ""}),
    ]
    layer = Layer(write(*files, bytecode=True))
    assert [name for name in layer.names if name.endswith(".pyc")] == [
        f"{SITE_PACKAGES}/bar/__pycache__/a.{TAG}.pyc",
        f"{SITE_PACKAGES}/bar/__pycache__/b.c.{TAG}.pyc",
        f"{SITE_PACKAGES}/__pycache__/foo.{TAG}.pyc",
    ]


# --- Several distributions


def test_identical_file_of_two_distributions_is_written_once(sandbox: Path) -> None:
    """Distributions may share a file when it is the same, as the __init__.py of a common package."""
    files = [
        make_deps_zip(DEPS, name, files={"google/__init__.py": "# ns", f"google/{name}.py": ""})
        for name in ("bar", "foo")
    ]
    layer = Layer(write(*files, bytecode=True))
    assert layer.names.count(f"{SITE_PACKAGES}/google/__init__.py") == 1
    assert layer.names.count(f"{SITE_PACKAGES}/google/__pycache__/__init__.{TAG}.pyc") == 1
    assert {f"{SITE_PACKAGES}/google/{name}.py" for name in ("bar", "foo")} <= set(layer.names)


def test_different_files_of_one_path_are_an_error(sandbox: Path) -> None:
    """Distributions that disagree on a file are refused, with every such file and who brings it."""
    shared = {"tests/__init__.py": "", "tests/same.py": ""}
    files = [
        make_deps_zip(DEPS, "foo", files={**shared, "tests/a.py": "foo", "tests/b.py": "foo"}),
        make_deps_zip(DEPS, "bar", files={**shared, "tests/a.py": "bar", "tests/b.py": "bar"}),
        make_deps_zip(DEPS, "baz", files={"tests/b.py": "foo"}),
    ]
    assert error_text(lambda: write(*files)) == (
        "2 files would be written twice with different content.\n"
        "\n"
        f"  * /{SITE_PACKAGES}/tests/a.py: from bar-1.0-py3-none-any.whl, foo-1.0-py3-none-any.whl\n"
        f"  * /{SITE_PACKAGES}/tests/b.py: from bar-1.0-py3-none-any.whl, baz-1.0-py3-none-any.whl\n"
        "\n"
        "To fix, remove one of the distributions from what the service imports."
    )


def test_compressed_bytes_are_those_of_each_distribution(sandbox: Path) -> None:
    """Each distribution is told its share of the blob, and the shares are the blob but for its ends."""
    noise = random.Random(0)
    sizes = {"bar": 100_000, "baz": 1_000, "foo": 10_000}
    files = {
        name: make_deps_zip(
            DEPS, name, files={f"{name}.bin": bytes(noise.choices(range(256), k=size))}
        )
        for name, size in sizes.items()
    }
    sink = io.BytesIO()
    writer = LayerWriter(sink)
    base = {
        "python": "/usr/local/bin/python3.10",
        "python_version": "3.10.13",
        "directories": BASE_DIRECTORIES,
        "commands": [],
    }
    shares = write_distributions(
        {
            "distributions": [layer_item(file) for file in files.values()],
            "prune": [],
            "exclude_files": [],
            "virtual_environment": True,
            "bytecode": False,
            "base": base,
        },
        writer,
    )["compressed_bytes_of"]
    _, _, blob_bytes = writer.close()
    for name, size in sizes.items():
        assert size < shares[files[name]] < size + 2_000
    assert blob_bytes - 2_000 < sum(shares.values()) < blob_bytes


# --- The virtual environment


def test_virtual_environment_is_on_the_base_s_interpreter(sandbox: Path) -> None:
    """The environment names the base's interpreter in pyvenv.cfg (PEP 405), in links, and is open to the base's own."""
    layer = Layer(write(virtual_environment=True))
    links = {name: m.linkname for name, m in layer.members.items() if m.issym()}
    assert links == {
        f"{VENV}/bin/python": "/usr/local/bin/python3.10",
        f"{VENV}/bin/python3": "python",
        f"{VENV}/bin/python3.10": "python",
    }
    assert layer.contents == {
        f"{VENV}/pyvenv.cfg": (
            b"home = /usr/local/bin\ninclude-system-site-packages = false\nversion = 3.10.13\n"
        ),
        "usr/local/lib/python3.10/site-packages/slim_ray_image.pth": (
            b"/opt/venv/lib/python3.10/site-packages\n"
        ),
    }


def test_virtual_environment_is_in_one_layer_alone(sandbox: Path) -> None:
    """A layer that is not asked for the environment has none of it, nor the directories above."""
    file = make_deps_zip(DEPS, "foo", files={"foo.py": ""})
    layer = Layer(write(file))
    assert not [name for name in layer.names if name.endswith(("pyvenv.cfg", "python", ".pth"))]
    assert not [name for name in layer.names if name.startswith("usr")]


# --- Directories


def parents_of(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def test_parents_are_explicit_and_come_first(sandbox: Path) -> None:
    """Every directory that the base lacks has one entry, before anything in it."""
    file = make_deps_zip(
        DEPS,
        "ray",
        files={"ray/a/b.py": "", ".prefix/bin/ray": "#!python\n"},
        entry_points=SCRIPTS,
    )
    layer = Layer(write(file, virtual_environment=True, bytecode=True, directories=["/"]))
    for number, name in enumerate(layer.names):
        for parent in parents_of(name):
            assert layer.names.index(parent) < number, f"{parent} comes after {name}"
            assert layer.members[parent].isdir()
    assert "usr/local/bin/ray" in layer.names


def test_directories_of_the_base_have_no_entry(sandbox: Path) -> None:
    """A directory, or a symlink to one, that the base has is left as the base has it."""
    file = make_deps_zip(
        DEPS,
        "ray",
        files={"ray/a.py": "", ".prefix/bin/ray": "#!python\n"},
        entry_points=SCRIPTS,
    )
    directories = [*BASE_DIRECTORIES, "/opt/venv", "/opt/venv/bin", "/usr/local/lib"]
    layer = Layer(write(file, virtual_environment=True, directories=directories))
    ours = [f"/{name}" for name, member in layer.members.items() if member.isdir()]
    assert not set(ours) & set(directories)
    assert ours == [
        "/opt/venv/lib",
        "/opt/venv/lib/python3.10",
        "/opt/venv/lib/python3.10/site-packages",
        "/opt/venv/lib/python3.10/site-packages/ray",
        "/opt/venv/lib/python3.10/site-packages/ray-1.0.dist-info",
        "/usr/local/lib/python3.10",
        "/usr/local/lib/python3.10/site-packages",
    ]


def test_no_path_is_there_twice(sandbox: Path) -> None:
    """No path has two entries, which layers must not have."""
    files = [
        make_deps_zip(
            DEPS,
            name,
            files={"ns/__init__.py": "", f"ns/{name}.py": "", f".prefix/bin/{name}": "#!python\n"},
        )
        for name in ("bar", "foo", "ray")
    ]
    names = Layer(write(*files, virtual_environment=True, bytecode=True)).names
    assert sorted(names) == sorted(set(names))


# --- Determinism


def many(folder: Path) -> list[str]:
    return [
        make_deps_zip(
            folder,
            name,
            # A name that modules share is written in another way into the pyc of the first of them.
            files={f"{name}/{module}.py": "shared_name = 1" for module in "zyx"},
        )
        for name in ("bar", "baz", "foo")
    ]


def test_same_distributions_twice_are_the_same_blob(sandbox: Path) -> None:
    """Equal zips make equal bytes."""
    files = many(DEPS)
    blobs = {write(*files, virtual_environment=True, bytecode=True) for _ in range(2)}
    assert len(blobs) == 1


def test_order_of_the_distributions_does_not_matter(sandbox: Path) -> None:
    """The same zips in every order make the same layer."""
    files = many(DEPS)
    blobs = {write(*order, bytecode=True) for order in itertools.permutations(files)}
    assert len(blobs) == 1


def test_order_and_times_in_the_zips_do_not_matter(sandbox: Path) -> None:
    """Only names, contents and executable bits of a zip's members count."""
    files = many(DEPS)
    before = write(*files, bytecode=True)
    for file in files:
        with zipfile.ZipFile(DEPS / file) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
        with zipfile.ZipFile(DEPS / file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("foo/", b"")
            for info, content in reversed(members):
                info.date_time = (2026, 1, 2, 3, 4, 6)
                archive.writestr(info, content)
    assert write(*files, bytecode=True) == before


def test_layer_of_one_distribution_does_not_depend_on_the_others(sandbox: Path) -> None:
    """What else is packed beside a distribution does not change its layer."""
    make_deps_zip(DEPS, "foo", files={"foo.py": ""})
    alone = write("foo-1.0-py3-none-any.whl", bytecode=True)
    make_deps_zip(DEPS, "bar", files={"bar.py": ""})
    assert write("foo-1.0-py3-none-any.whl", bytecode=True) == alone
