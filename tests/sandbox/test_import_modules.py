"""Tests of sandbox.check.import_modules: imports in images that the tests write, isolated from this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any, Mapping, Optional, Sequence

import pytest
from conftest import PYTHONPATH

from slim_ray_image.core.check.import_outcomes import (
    RESULT,
    Frame,
    ImportJob,
    ImportModulesRequest,
    ImportModulesResult,
    ImportOutcome,
)
from slim_ray_image.core.wire import from_json, to_json
from slim_ray_image.sandbox.check.import_modules import imports_of_script, merge_folders

SITE_PACKAGES = "lib/python3.10/site-packages"


def write(folder: str, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(content))


def job(
    module: str,
    attribute: Optional[str] = None,
    script: Optional[str] = None,
    is_by_path: bool = False,
) -> ImportJob:
    return ImportJob(module, attribute, script, is_by_path)


def run(
    jobs: Sequence[ImportJob],
    *layers: Mapping[str, str],
    first_party: Mapping[str, str] = {},
    environment: Mapping[str, str] = {},
) -> ImportModulesResult:
    """Return the result for an image of these layers and first-party files."""
    for number, files in enumerate(layers):
        write(f"layer-{number}/{SITE_PACKAGES}", files)
    write("first_party", first_party)
    request = ImportModulesRequest(
        jobs=tuple(jobs),
        layers=tuple(f"layer-{number}" for number in range(len(layers))),
        venv="/opt/venv",
        site_packages=SITE_PACKAGES,
        workdir="/app",
        environment=environment,
    )
    Path("request.json").write_text(to_json(request))
    result = subprocess.run(
        [sys.executable, "-B", "-m", "slim_ray_image.sandbox.check.import_modules", "request.json"],
        env={"PYTHONPATH": PYTHONPATH, "SLIM_RAY_IMAGE_BASE_ROOT": "base", "SECRET": "x"},
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        raise RuntimeError(result.stderr)
    return from_json(ImportModulesResult, Path(RESULT).read_text())


def outcome(source: str, **more: Any) -> Optional[ImportOutcome]:
    """Return the outcome of the import of one first-party module with this source."""
    (found,) = run([job("one")], first_party={"one.py": source}, **more).outcomes
    return found


# --- Importable modules


def test_first_party_code_and_every_layer_can_be_imported(sandbox: Path) -> None:
    """Distributions of all layers are importable, like from one site-packages."""
    found = run(
        [job("app", attribute="made.upper")],
        {"a.py": "value = 1\n"},
        {"b/__init__.py": "import a\n"},
        first_party={"app.py": "import b\nmade = str(b.a.value)\n"},
    )
    assert found.outcomes == (None,)


def test_one_package_can_be_in_several_layers(sandbox: Path) -> None:
    """A namespace package, and a regular package whose parts have their own layers, can be imported whole."""
    found = run(
        [job("ns.one"), job("ns.two"), job("ray.part.inner")],
        {"ns/one.py": "", "ray/__init__.py": ""},
        {"ns/two.py": "", "ray/part/__init__.py": "", "ray/part/inner.py": ""},
    )
    assert found.outcomes == (None, None, None)


def test_pth_files_are_honoured(sandbox: Path) -> None:
    """A .pth file in site-packages adds its folder to the path."""
    found = run([job("inner")], {"x.pth": "folder\n", "folder/inner.py": ""})
    assert found.outcomes == (None,)


def test_nothing_else_can_be_imported(sandbox: Path) -> None:
    """Modules of this machine and the plugin's tools cannot be imported; pytest stands for both."""
    found = outcome("import pytest\n")
    assert found and found.missing == ("pytest",)


def test_environment_is_that_of_the_image(sandbox: Path) -> None:
    """An import sees the image config's variables and an empty home, and no variable of this machine."""
    source = """\
        import os
        assert os.environ["SET"] == "1"
        assert "SECRET" not in os.environ and "PYTHONPATH" not in os.environ
        assert os.listdir(os.environ["HOME"]) == []
    """
    assert outcome(source, environment={"SET": "1", "HOME": "/home/ray"}) is None


def test_working_directory_is_that_of_the_code(sandbox: Path) -> None:
    """A module may read a file beside it by its relative path, like in the image."""
    found = run(
        [job("one")],
        first_party={"one.py": 'open("data.txt").close()\n', "data.txt": ""},
    )
    assert found.outcomes == (None,)


# --- Outcomes of imports that fail


def test_missing_module_names_the_statement_that_imports_it(sandbox: Path) -> None:
    """The innermost frame names the file by its path in the image, with the line and its text."""
    found = run(
        [job("app")],
        {"dist/__init__.py": "\nimport gone.inner\n"},
        first_party={"app.py": "import dist\n"},
    ).outcomes[0]
    assert found
    assert (found.error, found.missing) == ("ModuleNotFoundError", ("gone",))
    assert found.frames[:2] == (
        Frame("/opt/venv/lib/python3.10/site-packages/dist/__init__.py", 2, "import gone.inner"),
        Frame("/app/app.py", 1, "import dist"),
    )


def test_module_behind_an_error_of_a_distribution_is_named(sandbox: Path) -> None:
    """A missing module is named even if another error hides it, like Ray's "some dependencies are missing"."""
    source = """\
        try:
            import pyarrow
        except ImportError:
            raise ImportError("Run pip install it")
    """
    found = outcome(source)
    assert found
    assert (found.text, found.missing) == ("Run pip install it", ("pyarrow",))
    assert found.frames[0].line == 2


def test_attribute_that_is_not_there_is_a_fault_of_the_image(sandbox: Path) -> None:
    """A missing attribute that a console script or an application names is a fault of the image's content."""
    found = run(
        [job("one", attribute="main"), job("one", attribute="here")],
        first_party={"one.py": "here = 1\n"},
    ).outcomes
    assert found[0] and found[0].is_of_content and "'main'" in found[0].text
    assert found[1] is None


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("import os\nos.environ['DATABASE_URL']\n", "the environment variable DATABASE_URL"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 9))\n", "the network"),
        ("import socket\nsocket.getaddrinfo('example.com', 80)\n", "the network"),
        ("import subprocess\nsubprocess.run(['true'])\n", "the program true"),
    ],
    ids=["variable", "connection", "name", "program"],
)
def test_what_an_import_wants_of_its_place_is_named(
    source: str, wanted: str, sandbox: Path
) -> None:
    """An import that needs a variable, the network or a program fails, and its outcome names that."""
    found = outcome(source)
    assert found and found.wanted == wanted


def test_refusal_that_is_caught_is_no_failure(sandbox: Path) -> None:
    """An import that handles a refusal succeeds, since it works in the image, too."""
    assert outcome("import os\ntry:\n    os.environ['X']\nexcept KeyError:\n    pass\n") is None


def test_other_key_error_is_not_one_of_the_environment(sandbox: Path) -> None:
    """A KeyError of another mapping is not reported as a missing environment variable."""
    found = outcome("{}['x']\n")
    assert found and found.wanted is None and not found.is_of_content


def test_broken_source_is_a_fault_of_the_image(sandbox: Path) -> None:
    """A syntax error is a fault of the image's content."""
    found = outcome("def f(:\n")
    assert found and found.error == "SyntaxError" and found.is_of_content


@pytest.mark.parametrize(
    ("source", "is_of_content"),
    [
        ("import json\njson.laods\n", True),
        ("import json\njson.decoder.nothing\n", True),
        ("class A: pass\nA.nothing\n", False),
        ("def f() -> Foo: ...\n", True),
        ("def f():\n    if 0: x = 1\n    return x\nf()\n", False),
        (
            "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility.')\n",
            True,
        ),
        ("raise ValueError('no number')\n", False),
    ],
    ids=["attribute", "inner", "object", "name", "local", "abi", "value"],
)
def test_name_that_nothing_has_is_a_fault_of_the_image(
    source: str, is_of_content: bool, sandbox: Path
) -> None:
    """Missing names and module attributes are faults of the content; values and object attributes need not be."""
    found = outcome(source)
    assert found and found.is_of_content is is_of_content


def test_library_that_is_not_there_is_the_reason_whatever_was_tried_before(sandbox: Path) -> None:
    """A missing library is the cause, not the optional module that was tried before."""
    source = """\
        import ctypes
        try:
            import faster
        except ImportError:
            ctypes.CDLL("libslower.so.1")
    """
    found = outcome(source)
    assert found and found.missing == () and "libslower.so.1" in found.text


# --- Independence of imports


def test_failure_hides_no_other(sandbox: Path) -> None:
    """Each import has its own outcome, in order."""
    modules = {"a.py": "import gone\n", "b.py": "", "c.py": "1 / 0\n", "d.py": ""}
    jobs = [job(name[0]) for name in modules]
    found = run(jobs, first_party=modules).outcomes
    assert [bool(one) for one in found] == [True, False, True, False]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import os\nos._exit(3)\n", "exit code 3"),
        (
            "import os, signal\nprint('last words', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n",
            "SIGSEGV: last words",
        ),
    ],
    ids=["exit", "signal"],
)
def test_import_that_ends_its_process_is_told_as_that(
    source: str, text: str, sandbox: Path
) -> None:
    """An import that ends its process has an outcome, and the imports after it still run."""
    found = run([job("one"), job("two")], first_party={"one.py": source, "two.py": ""}).outcomes
    assert found[0] and found[0].is_of_content and text in found[0].text
    assert found[1] is None


def test_import_that_is_killed_is_no_fault_of_the_image(sandbox: Path) -> None:
    """An import ended by SIGKILL, for example for lack of memory, is an error of this run, which is not cached."""
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    with pytest.raises(
        RuntimeError,
        match="The process that imports one for a check of the image was killed.\n\nTo fix, make sure that this",
    ):
        outcome(source)


def test_exit_is_an_error_of_the_module_alone(sandbox: Path) -> None:
    """`sys.exit()` at the top level of a module is reported like any other exception."""
    found = outcome("import sys\nsys.exit(2)\n")
    assert found and found.error == "SystemExit" and not found.is_of_content


def test_module_that_another_has_spoilt_is_tried_alone(sandbox: Path) -> None:
    """An import that fails only after another import succeeds when it is tried alone."""
    found = run(
        [job("bad"), job("good")],
        first_party={
            "bad.py": "import json\njson.spoilt = True\n",
            "good.py": "import json\nassert not hasattr(json, 'spoilt')\n",
        },
    )
    assert found.outcomes == (None, None)


def test_process_that_an_import_leaves_behind_is_ended(sandbox: Path) -> None:
    """A process that an import forked does not keep the check waiting."""
    source = "import os, time\nif os.fork() == 0:\n    time.sleep(600)\n"
    assert outcome(source) is None


# --- Scripts


def test_script_without_a_guard_is_not_run_but_its_imports_are_done(sandbox: Path) -> None:
    """Only the import statements of a script without a guard are run, because importing it would run it."""
    driver = job("jobs.driver", script="jobs/driver.py")
    files = {
        "jobs/driver.py": "from jobs import helper\nopen('ran', 'w').close()\n",
        "jobs/helper.py": "",
    }
    assert run([driver], first_party=files).outcomes == (None,)
    assert not Path("first_party/ran").exists()
    Path("venv").rmdir()
    Path("home").rmdir()
    files["jobs/driver.py"] = "\nimport gone\n"
    (found,) = run([driver], first_party=files).outcomes
    assert found and found.missing == ("gone",)
    assert found.frames[0] == Frame("/app/jobs/driver.py", 2, "import gone")


@pytest.mark.parametrize("guard", ["", "if __name__ == '__main__':\n    work()\n"])
@pytest.mark.parametrize("is_by_path", [False, True])
def test_script_that_is_run_by_its_path_is_of_no_package(
    guard: str, is_by_path: bool, sandbox: Path
) -> None:
    """A relative import fails for `python jobs/driver.py`, and works for `python -m jobs.driver`."""
    driver = job("jobs.driver", script="jobs/driver.py", is_by_path=is_by_path)
    files = {"jobs/driver.py": f"from .helper import work\n{guard}", "jobs/helper.py": "work = 1\n"}
    (found,) = run([driver], first_party=files).outcomes
    reason = "attempted relative import with no known parent package"
    assert (found and found.text) == (reason if is_by_path else None)


def test_script_with_a_guard_is_imported() -> None:
    """A script with a `__main__` guard can be imported whole."""
    source = b"import sys\nif __name__ == '__main__':\n    sys.exit()\n"
    assert imports_of_script(source, "x.py") is None


# --- Shared objects


def test_shared_objects_of_this_machine_are_reported(sandbox: Path) -> None:
    """Shared objects from outside the image are reported: here all of them, since these tests have no base."""
    found = run([job("one")], first_party={"one.py": "import ctypes\n"})
    assert any("libc.so" in path or "libc-" in path for path in found.outside)


def test_memory_of_the_process_itself_is_not_of_this_machine(sandbox: Path) -> None:
    """A mapped file without a name, for example of a run-time compiler, is not reported."""
    source = """\
        import ctypes, mmap, os
        file = ctypes.CDLL(None).memfd_create(b"jit", 1)
        os.ftruncate(file, 4096)
        kept = mmap.mmap(file, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    """
    found = run([job("one")], first_party={"one.py": dedent(source)})
    assert found.outcomes == (None,)
    assert found.outside and not any("jit" in path for path in found.outside)


def test_libraries_of_the_base_are_found_by_name(sandbox: Path) -> None:
    """`find_library` finds libraries of the base, although it must not start `ldconfig`."""
    write("base/usr/lib/x86_64-linux-gnu", {"libzbar.so.0": "", "libzbar2.so.1": ""})
    source = """\
        from ctypes.util import find_library
        assert (find_library("zbar"), find_library("c")) == ("libzbar.so.0", None)
    """
    assert outcome(source) is None


def test_merged_folder_shows_each_file_of_each_folder(tmp_path: Path) -> None:
    """Files are links and folders are not, so relative paths between files work like in the image."""
    write(str(tmp_path / "a"), {"x/1": "", "only/2": ""})
    write(str(tmp_path / "b"), {"x/3": "", "4": ""})
    merge_folders([str(tmp_path / "a"), str(tmp_path / "b")], str(tmp_path / "merged"))
    merged = tmp_path / "merged"
    assert sorted(path.name for path in merged.iterdir()) == ["4", "only", "x"]
    assert sorted(path.name for path in (merged / "x").iterdir()) == ["1", "3"]
    assert not any(path.is_symlink() for path in merged.iterdir() if path.is_dir())
    assert (merged / "only" / ".." / "x" / "3").exists()
