"""The files of a sandboxed program, Pants' settings in a sandbox, and the errors of a failed program."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, cast

import pytest
from pants.testutil.rule_runner import RuleRunner

import slim_ray_image
from rules.rule_runner import OPTIONS, file_contents, make_interpreter
from slim_ray_image.core.base.base_facts import LayerSize
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.uv_call import NetworkPlaces
from slim_ray_image.sandbox.report import USER_ERROR
from slim_ray_image.tools import NetworkSettings, Program, ProgramRequest, raise_if_failed

PACKAGE = Path(slim_ray_image.__file__).parent
SANDBOX = PACKAGE / "sandbox"
# Each module of `sandbox/` with a main part, by room and name.
PROGRAMS = sorted(
    ".".join(path.relative_to(SANDBOX).with_suffix("").parts)
    for path in SANDBOX.rglob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)
BYTECODE = "slim_ray_image/sandbox/bytecode.py"
# Run as a process of its own by BYTECODE, so no `import` names it.
COMPILER = "slim_ray_image/sandbox/compile_bytecode.py"
INDEXES = "--python-repos-indexes=['https://index.example.com/simple']"


def load(rule_runner: RuleRunner, name: str) -> dict[str, bytes]:
    program = rule_runner.request(Program, [ProgramRequest(name)])
    assert program.name == name
    return file_contents(rule_runner, program.tree)


def imported_modules(source: bytes) -> Iterator[str]:
    """Yield every module of ours that any kind of `import` in `source` can mean."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reachable_files(start: str) -> set[str]:
    """Return the modules of the plugin that `start` reaches by imports, found in the files on disk."""
    found, pending = set(), {start}
    while pending:
        path = pending.pop()
        found.add(path)
        for module in imported_modules((PACKAGE.parent / path).read_bytes()):
            candidate = f"{module.replace('.', '/')}.py"
            if candidate.startswith("slim_ray_image/") and (PACKAGE.parent / candidate).is_file():
                pending |= {candidate} - found
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_is_shipped_with_exactly_what_it_imports(
    rule_runner: RuleRunner, name: str
) -> None:
    """A program has only the modules that it reaches by imports, so a change of another module keeps its cache."""
    files = load(rule_runner, name)
    modules = {path for path in files if not path.endswith("/__init__.py")}
    expected = reachable_files(f"slim_ray_image/sandbox/{name.replace('.', '/')}.py")
    assert modules == expected | ({COMPILER} if BYTECODE in expected else set())
    assert {path: files[path] for path in modules} == {
        path: (PACKAGE.parent / path).read_bytes() for path in modules
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_has_an_empty_package_file_for_each_folder(
    rule_runner: RuleRunner, name: str
) -> None:
    """Packages can be imported, but no `__init__.py` of the plugin, nor its docstring, is part of a cache key."""
    files = load(rule_runner, name)
    packages = {path: content for path, content in files.items() if path.endswith("__init__.py")}
    folders = {str(folder) for path in files for folder in Path(path).parents} - {"."}
    assert set(packages) == {f"{folder}/__init__.py" for folder in folders}
    assert set(packages.values()) == {b""}


@pytest.mark.parametrize("name", PROGRAMS)
def test_shipped_program_can_be_imported_alone(
    rule_runner: RuleRunner, name: str, tmp_path: Path
) -> None:
    """The program can be imported with only its own tree and its tools."""
    for path, content in load(rule_runner, name).items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"import slim_ray_image.sandbox.{name} as program\n"
        f"assert program.__file__.startswith({str(tmp_path)!r}), program.__file__\n"
        "outside = [n for n in sys.modules if n == 'pants' or n.startswith('pants.')]\n"
        "assert not outside, outside\n"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_programs_are_found() -> None:
    """The tests above find the programs, and no library among them."""
    assert {"layers.write_slice", "smoke.ask_http"} <= set(PROGRAMS)
    assert not {"report", "wheels.wheel"} & set(PROGRAMS)


@pytest.mark.parametrize(
    "facts",
    [
        {"directories": ("/app",)},
        {"passwd": "root:x:0:0::/root:/bin/sh\n"},
        {"layer_sizes": (LayerSize(1, 1),)},
    ],
    ids=["directories", "passwd", "layers"],
)
def test_interpreters_are_equal_by_every_fact_and_hashed_without_them(
    facts: dict[str, Any]
) -> None:
    """Facts with thousands of paths are not hashed with each layer request, but they are compared."""
    one, other = make_interpreter(), make_interpreter(**facts)
    assert one == make_interpreter() != other
    assert hash(one) == hash(other)


def test_interpreter_knows_its_minor_version_and_site_packages() -> None:
    """Both are derived from the interpreter's version and path."""
    interpreter = make_interpreter(python="/opt/python/bin/python3.10", python_version="3.10.13")
    assert interpreter.python_minor == "3.10"
    assert interpreter.site_packages == "/opt/python/lib/python3.10/site-packages"


def test_settings_of_the_network_are_those_of_pants(rule_runner: RuleRunner) -> None:
    """Indexes and find-links reach the sandbox unchanged; without certificates there is no file."""
    rule_runner.set_options(
        [*OPTIONS, INDEXES, "--python-repos-find-links=['https://wheels.example.com/']"]
    )
    settings = rule_runner.request(NetworkSettings, [])
    assert settings.places == NetworkPlaces(
        ("https://index.example.com/simple",), ("https://wheels.example.com/",), ""
    )
    assert file_contents(rule_runner, settings.tree) == {}


def test_certificates_are_known_by_content_not_by_path(
    rule_runner: RuleRunner, tmp_path: Path
) -> None:
    """Two machines that keep the same certificates in different places share their caches."""
    settings = []
    for name in ("here.pem", "there.crt"):
        (tmp_path / name).write_text("the certificates")
        rule_runner.set_options([*OPTIONS, INDEXES, f"--ca-certs-path={tmp_path / name}"])
        settings.append(rule_runner.request(NetworkSettings, []))
    assert settings[0] == settings[1]
    assert settings[0].places.certificates == "certificates.pem"
    assert file_contents(rule_runner, settings[0].tree) == {"certificates.pem": b"the certificates"}


def result_of(exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> Any:
    return cast(Any, SimpleNamespace(exit_code=exit_code, stdout=stdout, stderr=stderr))


def test_success_is_silent() -> None:
    """A program that succeeded raises nothing, whatever it wrote."""
    raise_if_failed(result_of(0, stderr=b"a note"), "Do a thing")


def test_mistake_of_the_user_is_told_in_the_program_s_own_words() -> None:
    """The program's message is the whole message."""
    text = "The image is wrong.\n\nTo fix, mend it \N{EM DASH} now."
    with pytest.raises(SlimRayImageError) as caught:
        raise_if_failed(result_of(USER_ERROR, b"noise", text.encode()), "Do a thing")
    assert str(caught.value) == text


def test_fault_of_a_program_says_so_and_has_all_output() -> None:
    """An unexpected exit code is a fault, and the message has all output, even bytes that are not UTF-8."""
    with pytest.raises(RuntimeError) as caught:
        raise_if_failed(result_of(1, b"some output\n", b"a traceback \xff"), "Do a thing")
    assert str(caught.value) == (
        "Do a thing failed with exit code 1. This is a fault in slim_ray_image, not in your code; report it with this "
        "output:\n\nsome output\na traceback \N{REPLACEMENT CHARACTER}"
    )
