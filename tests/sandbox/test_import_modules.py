"""Tests of sandbox.check.import_modules: imports of an image that the tests write, in processes that see nothing else."""

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
    """What becomes of the import of one first-party module."""
    (found,) = run([job("one")], first_party={"one.py": source}, **more).outcomes
    return found


# --- What can be imported


def test_first_party_code_and_every_layer_can_be_imported(sandbox: Path) -> None:
    """As from one site-packages, whatever layer a distribution is in."""
    found = run(
        [job("app", attribute="made.upper")],
        {"a.py": "value = 1\n"},
        {"b/__init__.py": "import a\n"},
        first_party={"app.py": "import b\nmade = str(b.a.value)\n"},
    )
    assert found.outcomes == (None,)


def test_one_package_can_be_in_several_layers(sandbox: Path) -> None:
    """A namespace package, and a regular one whose parts have layers of their own."""
    found = run(
        [job("ns.one"), job("ns.two"), job("ray.part.inner")],
        {"ns/one.py": "", "ray/__init__.py": ""},
        {"ns/two.py": "", "ray/part/__init__.py": "", "ray/part/inner.py": ""},
    )
    assert found.outcomes == (None, None, None)


def test_pth_files_are_honoured(sandbox: Path) -> None:
    """As Python's `site` does for a virtual environment."""
    found = run([job("inner")], {"x.pth": "folder\n", "folder/inner.py": ""})
    assert found.outcomes == (None,)


def test_nothing_else_can_be_imported(sandbox: Path) -> None:
    """Not what this process has, nor the plugin's own tools; pytest stands for both."""
    found = outcome("import pytest\n")
    assert found and found.missing == ("pytest",)


def test_environment_is_that_of_the_image(sandbox: Path) -> None:
    """What the image config sets is there, and nothing of this machine but an empty home."""
    source = """\
        import os
        assert os.environ["SET"] == "1"
        assert "SECRET" not in os.environ and "PYTHONPATH" not in os.environ
        assert os.listdir(os.environ["HOME"]) == []
    """
    assert outcome(source, environment={"SET": "1", "HOME": "/home/ray"}) is None


def test_working_directory_is_that_of_the_code(sandbox: Path) -> None:
    """As in the image: a module may read a file beside it by its relative path."""
    found = run(
        [job("one")],
        first_party={"one.py": 'open("data.txt").close()\n', "data.txt": ""},
    )
    assert found.outcomes == (None,)


# --- What is said of an import that fails


def test_missing_module_names_the_statement_that_imports_it(sandbox: Path) -> None:
    """The innermost frame in the image, by its path there, with the line's text."""
    found = run(
        [job("app")],
        {"dist/__init__.py": "\nimport gone.inner\n"},
        first_party={"app.py": "import dist\n"},
    ).outcomes[0]
    assert (found.error, found.missing) == ("ModuleNotFoundError", ("gone",))
    assert found.frames[:2] == (
        Frame("/opt/venv/lib/python3.10/site-packages/dist/__init__.py", 2, "import gone.inner"),
        Frame("/app/app.py", 1, "import dist"),
    )


def test_module_behind_an_error_of_a_distribution_is_named(sandbox: Path) -> None:
    """As Ray's "Can't import ray.tune as some dependencies are missing"."""
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
    """A console script or an application names it."""
    found = run(
        [job("one", attribute="main"), job("one", attribute="here")],
        first_party={"one.py": "here = 1\n"},
    ).outcomes
    assert found[0].is_of_content and "'main'" in found[0].text
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
    """It is refused, and the outcome says so."""
    found = outcome(source)
    assert found and found.wanted == wanted


def test_refusal_that_is_caught_is_no_failure(sandbox: Path) -> None:
    """An import that tries, and goes on without, works in the image too."""
    assert outcome("import os\ntry:\n    os.environ['X']\nexcept KeyError:\n    pass\n") is None


def test_other_key_error_is_not_one_of_the_environment(sandbox: Path) -> None:
    """A table of the module's own."""
    found = outcome("{}['x']\n")
    assert found and found.wanted is None and not found.is_of_content


def test_broken_source_is_a_fault_of_the_image(sandbox: Path) -> None:
    """A syntax error of the image's Python."""
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
    """Wherever it runs: an attribute of a module, a name. A value, or an object's attribute, may be of the place."""
    found = outcome(source)
    assert found and found.is_of_content is is_of_content


def test_library_that_is_not_there_is_the_reason_whatever_was_tried_before(sandbox: Path) -> None:
    """A module that can do without another is not said to lack that."""
    source = """\
        import ctypes
        try:
            import faster
        except ImportError:
            ctypes.CDLL("libslower.so.1")
    """
    found = outcome(source)
    assert found and found.missing == () and "libslower.so.1" in found.text


# --- One import must not decide over another


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
    """And those after it are done all the same."""
    found = run([job("one"), job("two")], first_party={"one.py": source, "two.py": ""}).outcomes
    assert found[0].is_of_content and text in found[0].text
    assert found[1] is None


def test_import_that_is_killed_is_no_fault_of_the_image(sandbox: Path) -> None:
    """As by a kernel that has no memory left: it is an error of this run, which is not cached."""
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    with pytest.raises(
        RuntimeError, match="The import of one was killed.\n\nTo fix, see that this"
    ):
        outcome(source)


def test_exit_is_an_error_of_the_module_alone(sandbox: Path) -> None:
    """`sys.exit()` at the top of a module is an exception like another."""
    found = outcome("import sys\nsys.exit(2)\n")
    assert found and found.error == "SystemExit" and not found.is_of_content


def test_module_that_another_has_spoilt_is_tried_alone(sandbox: Path) -> None:
    """What fails only after others does not fail."""
    found = run(
        [job("bad"), job("good")],
        first_party={
            "bad.py": "import json\njson.spoilt = True\n",
            "good.py": "import json\nassert not hasattr(json, 'spoilt')\n",
        },
    )
    assert found.outcomes == (None, None)


def test_process_that_an_import_leaves_behind_is_ended(sandbox: Path) -> None:
    """A fork that goes on does not keep the check waiting."""
    source = "import os, time\nif os.fork() == 0:\n    time.sleep(600)\n"
    assert outcome(source) is None


# --- Scripts


def test_script_without_a_guard_is_not_run_but_its_imports_are_done(sandbox: Path) -> None:
    """To import it would be to do its work."""
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
    assert found.missing == ("gone",)
    assert found.frames[0] == Frame("/app/jobs/driver.py", 2, "import gone")


@pytest.mark.parametrize("guard", ["", "if __name__ == '__main__':\n    work()\n"])
@pytest.mark.parametrize("is_by_path", [False, True])
def test_script_that_is_run_by_its_path_is_of_no_package(
    guard: str, is_by_path: bool, sandbox: Path
) -> None:
    """As `python jobs/driver.py` has it, and `python -m jobs.driver` has not."""
    driver = job("jobs.driver", script="jobs/driver.py", is_by_path=is_by_path)
    files = {"jobs/driver.py": f"from .helper import work\n{guard}", "jobs/helper.py": "work = 1\n"}
    (found,) = run([driver], first_party=files).outcomes
    reason = "attempted relative import with no known parent package"
    assert (found and found.text) == (reason if is_by_path else None)


def test_script_with_a_guard_is_imported() -> None:
    """Its work is under `__main__`."""
    source = b"import sys\nif __name__ == '__main__':\n    sys.exit()\n"
    assert imports_of_script(source, "x.py") is None


# --- Shared objects


def test_shared_objects_of_this_machine_are_reported(sandbox: Path) -> None:
    """Here all of them are: these tests run with no base."""
    found = run([job("one")], first_party={"one.py": "import ctypes\n"})
    assert any("libc.so" in path or "libc-" in path for path in found.outside)


def test_memory_of_the_process_itself_is_not_of_this_machine(sandbox: Path) -> None:
    """As what a compiler at run time maps: a file that has no name any more."""
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
    """Though the program that knows of them may not be started."""
    write("base/usr/lib/x86_64-linux-gnu", {"libzbar.so.0": "", "libzbar2.so.1": ""})
    source = """\
        from ctypes.util import find_library
        assert (find_library("zbar"), find_library("c")) == ("libzbar.so.0", None)
    """
    assert outcome(source) is None


def test_merged_folder_shows_each_file_of_each_folder(tmp_path: Path) -> None:
    """By links, in folders that are none: beside each is what is beside it in the image."""
    write(str(tmp_path / "a"), {"x/1": "", "only/2": ""})
    write(str(tmp_path / "b"), {"x/3": "", "4": ""})
    merge_folders([str(tmp_path / "a"), str(tmp_path / "b")], str(tmp_path / "merged"))
    merged = tmp_path / "merged"
    assert sorted(path.name for path in merged.iterdir()) == ["4", "only", "x"]
    assert sorted(path.name for path in (merged / "x").iterdir()) == ["1", "3"]
    assert not any(path.is_symlink() for path in merged.iterdir() if path.is_dir())
    assert (merged / "only" / ".." / "x" / "3").exists()
