"""Tests of sandbox.compile_bytecode, through sandbox.bytecode, which runs it, and alone."""

from __future__ import annotations

import errno
import importlib.machinery
import importlib.util
import marshal
import subprocess
import sys
from pathlib import Path
from types import CodeType
from typing import Iterable, Sequence

import pytest
from conftest import PYTHONPATH

from slim_ray_image import sandbox as sandbox_package
from slim_ray_image.sandbox.bytecode import compile_sources, run_compiler

PROGRAM = Path(sandbox_package.__file__).parent / "compile_bytecode.py"
TAG = sys.implementation.cache_tag
# A set of strings in the code is a constant; the hashes determine its order in memory, and so in a pyc.
SENSITIVE = b'def f(x):\n    return x in {"a", "b", "c", "d", "e", "f", "g", "h"}\n'


def compile_group(sources: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    """Compile sources as one group; return path of the pyc in the image -> its content."""
    return {path: Path(file).read_bytes() for path, file in compile_sources([sources]).items()}


def codes(code: CodeType) -> list[CodeType]:
    """Return a code object and all code objects nested in it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [code, *(c for nested in inner for c in codes(nested))]


def test_bytecode_goes_where_python_looks_for_it(sandbox: Path) -> None:
    """A module's pyc has the name that this Python gives it (PEP 3147)."""
    compiled = compile_group([("/app/a.py", b""), ("/app/b/c.d.py", b"")])
    assert list(compiled) == [
        f"/app/__pycache__/a.{TAG}.pyc",
        f"/app/b/__pycache__/c.d.{TAG}.pyc",
    ]
    assert next(iter(compiled)) == importlib.util.cache_from_source("/app/a.py")


def test_bytecode_is_unchecked_hash(sandbox: Path) -> None:
    """A pyc is marked as unchecked, and contains the hash of its source (PEP 552)."""
    source = b"x = 1\n"
    (pyc,) = compile_group([("/app/a.py", source)]).values()
    assert pyc[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(pyc[4:8], "little") == 0b01
    assert pyc[8:16] == importlib.util.source_hash(source)


def test_bytecode_has_the_final_path(sandbox: Path) -> None:
    """Every code object names the file in the image, so tracebacks name it, too."""
    source = b"class A:\n    def f(self):\n        return [lambda: x for x in y]\n"
    (pyc,) = compile_group([("/app/a.py", source)]).values()
    compiled = codes(marshal.loads(pyc[16:]))
    assert len(compiled) >= 4
    assert {code.co_filename for code in compiled} == {"/app/a.py"}


def test_bytecode_is_used_whatever_time_its_source_has(sandbox: Path) -> None:
    """Python uses the pyc even if the source is newer."""
    (pyc,) = compile_group([("/app/a.py", b"x = 'compiled'\n")]).values()
    module = sandbox / "a.py"
    module.write_text("x = 'a newer source'\n")
    cached = Path(importlib.util.cache_from_source(str(module)))
    cached.parent.mkdir()
    cached.write_bytes(pyc)
    loader = importlib.machinery.SourceFileLoader("a", str(module))
    code = loader.get_code("a")
    assert code is not None and "compiled" in code.co_consts


def test_bytecode_keeps_asserts_and_docstrings(sandbox: Path) -> None:
    """Code is compiled without optimisation, which is Python's default."""
    (pyc,) = compile_group([("/app/a.py", b'"""Doc."""\nassert x, "kept"\n')]).values()
    constants = marshal.loads(pyc[16:]).co_consts
    assert {"Doc.", "kept"} <= set(constants)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(b"print 'Python 2'\n", id="syntax"),
        pytest.param(b"{{ cookiecutter.name }} = \n", id="template"),
        pytest.param(b"x = '\xff'\n", id="encoding"),
        pytest.param(b"# coding: no-such-encoding\n", id="unknown encoding"),
        pytest.param(b"x = 1\0\n", id="null byte"),
        pytest.param(b"x = " + b"+".join([b"a"] * 20_000), id="long sum"),
        pytest.param(b"x = a" + b".b()" * 20_000, id="long chain"),
        pytest.param(b"if a: pass\n" + b"elif a: pass\n" * 20_000, id="many branches"),
        pytest.param(b"x = " + b"-" * 20_000 + b"1", id="many signs"),
        pytest.param(b"x = " + b"lambda: " * 2_500 + b"1", id="too deep for marshal"),
    ],
)
def test_source_that_does_not_compile_is_skipped(sandbox: Path, source: bytes) -> None:
    """A file that is not valid Python has no pyc; the files beside it have pycs."""
    compiled = compile_group([(f"/app/{n}.py", s) for n, s in zip("abc", (b"", source, b""))])
    assert list(compiled) == [f"/app/__pycache__/{n}.{TAG}.pyc" for n in "ac"]


def test_sources_are_decoded_as_python_does(sandbox: Path) -> None:
    """A declared encoding and a byte order mark are respected."""
    compiled = compile_group(
        [("/app/a.py", b"# coding: latin-1\nx = '\xe9'\n"), ("/app/b.py", b"\xef\xbb\xbfx = 'b'\n")]
    )
    constants = [marshal.loads(pyc[16:]).co_consts[0] for pyc in compiled.values()]
    assert constants == ["é", "b"]


# Spaces, quotes, other scripts and marks that change the direction of text: such files are not omitted.
UNUSUAL = [
    "a b",
    "it's",
    'a"b',
    "a;b",
    "$(a)",
    "-a",
    "caf\u00e9",
    "\u6a21\u578b",
    "a\u202eb",
    "a\u2028b",
    "\U0001f600",
]


@pytest.mark.parametrize("name", UNUSUAL, ids=ascii)
def test_bytecode_of_an_unusual_name_is_its_own(sandbox: Path, name: str) -> None:
    """Code at an unusual path names that path, and the files beside it keep their own."""
    paths = ["/app/a.py", f"/app/{name}/m.py", "/app/z.py"]
    compiled = compile_group([(path, b"") for path in paths])
    assert [marshal.loads(pyc[16:]).co_filename for pyc in compiled.values()] == paths


@pytest.mark.parametrize("separator", ["\n", "\r", "\r\n", "\x0b", "\x85"], ids=ascii)
def test_name_cannot_move_bytecode(sandbox: Path, tmp_path: Path, separator: str) -> None:
    """A path with line breaks is one path: no path inside its text is read or written."""
    victim = tmp_path / "victim.pyc"
    hostile = f"/app/a{separator}compile/0.py{separator}{victim}{separator}z.py"
    paths = ["/app/a.py", hostile, "/app/z.py"]
    compiled = compile_group([(path, b"x = 1") for path in paths])
    assert not victim.exists()
    assert [marshal.loads(pyc[16:]).co_filename for pyc in compiled.values()] == paths


def test_name_that_no_list_can_hold_is_refused(sandbox: Path) -> None:
    """A path with a null byte is refused, because the list would be read differently."""
    with pytest.raises(ValueError, match="A path has a null byte: '/app/a"):
        compile_group([("/app/a\0b.py", b"")])


def test_no_sources_make_no_bytecode(sandbox: Path) -> None:
    """A layer without modules has nothing to compile."""
    assert compile_sources([]) == compile_sources([[], []]) == {}


def test_bytecode_does_not_inherit_the_program_s_future_imports(sandbox: Path) -> None:
    """A source is compiled by its own future imports alone: without any, annotations are evaluated."""
    (pyc,) = compile_group([("/app/a.py", b"def f(x: undefined): pass\n")]).values()
    with pytest.raises(NameError):
        exec(marshal.loads(pyc[16:]), {})


# Names that modules share have other bytes in the pyc of the first module that is compiled.
SHARING = (
    b"def f(shared_name, other_name=('a text of both', 300)):\n    return shared_name.other_name\n"
)


def compile_groups(*groups: Sequence[str]) -> dict[str, bytes]:
    """Compile modules with equal sources in these groups; return name of the module -> its bytecode."""
    compiled = compile_sources([(f"/app/{name}.py", SHARING) for name in group] for group in groups)
    return {
        name: Path(compiled[f"/app/__pycache__/{name}.{TAG}.pyc"]).read_bytes()
        for group in groups
        for name in group
    }


def test_bytecode_of_a_group_depends_on_no_other_group(sandbox: Path) -> None:
    """A group has the same bytecode alone, before another, and behind others."""
    alone = compile_groups(["b", "a"])
    for groups in ([["b", "a"], ["c"]], [["c"], ["b", "a"]], [["c"], [], ["d", "e"], ["b", "a"]]):
        together = compile_groups(*groups)
        assert {name: together[name] for name in alone} == alone


def test_bytecode_depends_on_what_is_before_it_in_its_group(sandbox: Path) -> None:
    """Bytecode depends on the order in a group, so the test above can fail and the order must be fixed."""
    differs = compile_groups(["a", "b"])["b"] != compile_groups(["b"])["b"]
    # Since 3.11, Python itself writes the names of a module with the same bytes.
    assert differs or sys.version_info >= (3, 11)


def test_disk_that_is_full_ends_the_build(sandbox: Path) -> None:
    """A full disk in the process that writes the pycs raises an error here."""
    Path("a.py").write_bytes(b"x = 1")
    Path("b.py").write_bytes(b"x = 1")
    groups = [[("a.py", "/app/a.py", "/dev/full")], [("b.py", "/app/b.py", "b.pyc")]]
    with pytest.raises(OSError) as caught:
        run_compiler([sys.executable], groups, "list", {})
    assert caught.value.errno == errno.ENOSPC


def test_process_that_ends_early_ends_the_build(sandbox: Path) -> None:
    """A failure of the process raises an error instead of leaving a module without bytecode."""
    with pytest.raises(subprocess.CalledProcessError):
        run_compiler([sys.executable], [[("missing.py", "/app/a.py", "a.pyc")]], "list", {})


def run_program(folder: Path, hash_seed: str) -> bytes:
    """Return the pyc that compile_bytecode makes of SENSITIVE when it runs under this hash seed."""
    folder.mkdir()
    source, pyc, listed = folder / "a.py", folder / "a.pyc", folder / "list"
    source.write_bytes(SENSITIVE)
    listed.write_text(f"{source}\0/app/a.py\0{pyc}\0\0\0\0")
    subprocess.run(
        [sys.executable, "-B", "-s", "-S", str(PROGRAM), str(listed)],
        env={"PYTHONHASHSEED": hash_seed},
        check=True,
    )
    return pyc.read_bytes()


def compile_under(folder: Path, hash_seed: str) -> bytes:
    """Return the pyc of SENSITIVE from `compile_sources` in a program that runs under this hash seed."""
    folder.mkdir()
    program = (
        "import sys; from slim_ray_image.sandbox.bytecode import compile_sources;"
        f"(pyc,) = compile_sources([[('/app/a.py', {SENSITIVE!r})]]).values();"
        "sys.stdout.buffer.write(open(pyc, 'rb').read())"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=folder,
        env={
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": PYTHONPATH,
            "SLIM_RAY_IMAGE_BASE_ROOT": hash_seed,
        },
        stdout=subprocess.PIPE,
        check=True,
    )
    return result.stdout


def test_bytecode_does_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    """The pyc is the same under every hash seed, for a source whose bytecode the seed would change."""
    direct = [run_program(tmp_path / f"direct{seed}", seed) for seed in ("0", "1", "2")]
    # Since 3.11, Python itself writes such constants in one order (bpo-37596).
    assert len(set(direct)) > 1 or sys.version_info >= (3, 11)
    ours = [compile_under(tmp_path / f"ours{seed}", seed) for seed in ("1", "2", "random")]
    assert set(ours) == {direct[0]}
