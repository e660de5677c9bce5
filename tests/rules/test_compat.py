"""The two modules of `compat`: the same names in both, and on Pants 2.17 the same meaning as on modern Pants."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Generator, Iterator

import pytest
from packaging.requirements import Requirement
from pants.backend.python.pip_requirement import PipRequirement
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent, MergeDigests
from pants.engine.internals.scheduler import ExecutionError
from pants.testutil.rule_runner import QueryRule, RuleRunner

import slim_ray_image
from slim_ray_image.compat import (
    concurrently,
    create_digest,
    get_digest_contents,
    implicitly,
    merge_digests,
    rule,
    uncacheable_rule,
)

PACKAGE = Path(slim_ray_image.__file__).parent


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def exported_names(path: Path) -> set[str]:
    """Return the names that a module exports: its public definitions, and imports with `as`, even to the same name."""
    names = set()
    for node in parse(path).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname for alias in node.names if alias.asname}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def names_imported_from_compat() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ImportFrom) and node.module == "slim_ray_image.compat":
                yield from (alias.name for alias in node.names)


def test_both_sides_export_the_same_names() -> None:
    """A name that only one Pants version has would fail on the version that nobody tried."""
    assert exported_names(PACKAGE / "compat/pants_2_17.py") == exported_names(
        PACKAGE / "compat/modern.py"
    )


def test_what_is_exported_is_what_is_used() -> None:
    """The rules use every exported name, and no name that a module only happens to import."""
    assert set(names_imported_from_compat()) == exported_names(PACKAGE / "compat/modern.py")


def test_only_compat_asks_for_the_version_of_pants() -> None:
    """No other module imports `pants.version`, and none imports `Get`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "compat":
            continue
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pants."):
                assert node.module != "pants.version", path
                taken = {alias.name for alias in node.names}
                assert not taken & {"Get", "MultiGet", "Effect", "rule_helper"}, path


def attributes_read(tree: ast.AST, variables: set[str]) -> set[str]:
    """Return the attributes that a module reads from variables."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in variables
    }


def attributes_of_requirements(tree: ast.AST) -> set[str]:
    """Return the attributes that a module reads from the items of a `requirements` field in a loop."""
    loops = [node for node in ast.walk(tree) if isinstance(node, (ast.For, ast.comprehension))]
    over_fields = [loop for loop in loops if "PythonRequirementsField" in ast.unparse(loop.iter)]
    return attributes_read(tree, {ast.unparse(loop.target) for loop in over_fields})


@pytest.mark.parametrize("spelling", ["name", "project_name"])
def test_attributes_of_requirements_are_found(spelling: str) -> None:
    """The next test finds the spelling in loops and comprehensions."""
    field = "target[PythonRequirementsField].value"
    loop = f"for found in {field}:\n    print(found.{spelling})"
    listed = f"[found.{spelling}.lower() for target in targets for found in {field}]"
    for source in (loop, listed):
        assert attributes_of_requirements(ast.parse(source)) == {spelling}


def test_only_compat_knows_how_a_requirement_spells_its_name() -> None:
    """Pants has renamed this attribute, so no other module reads a requirement's attributes or imports its class."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "compat":
            continue
        tree = parse(path)
        assert not attributes_of_requirements(tree), path
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.Attribute) and node.attr == "project_name"), path
            if isinstance(node, ast.ImportFrom):
                assert "PipRequirement" not in {alias.name for alias in node.names}, path


def function_of(side: str, name: str) -> Callable[..., Any]:
    """Return a function of one module of compat, without importing the module."""
    (definition,) = (
        node
        for node in parse(PACKAGE / f"compat/{side}.py").body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    definition.returns = None
    for argument in definition.args.args:
        argument.annotation = None
    names: dict[str, Any] = {}
    exec(compile(ast.Module([definition], []), side, "exec"), names)
    return names[name]


@pytest.mark.parametrize(
    ("side", "requirement"),
    [
        # Pants 2.26 and newer wrap this class, and have its names.
        ("modern", Requirement("Ray[serve]==2.48.0")),
        ("pants_2_17", PipRequirement.parse("Ray[serve]==2.48.0")),
    ],
)
def test_name_of_a_requirement(side: str, requirement: Any) -> None:
    """Each module reads the attribute of its own Pants; the other attribute does not exist there."""
    assert function_of(side, "requirement_name")(requirement) == "Ray"
    other = {"modern": "pants_2_17", "pants_2_17": "modern"}[side]
    with pytest.raises(AttributeError):
        function_of(other, "requirement_name")(requirement)


@dataclass(frozen=True)
class Name:
    value: str


@dataclass(frozen=True)
class Names:
    values: tuple[str, ...]


@dataclass(frozen=True)
class Greeting:
    value: str


@dataclass(frozen=True)
class Greetings:
    values: tuple[str, ...]


@dataclass(frozen=True)
class Suffix:
    value: str


@dataclass(frozen=True)
class Session:
    number: int


CALLS: list[str] = []


@rule
async def make_suffix() -> Suffix:
    """A rule without a request."""
    CALLS.append("suffix")
    return Suffix("!")


@rule(desc="Greet")
async def greet(request: Name) -> Greeting:
    """A rule that another calls by name."""
    CALLS.append(request.value)
    if request.value == "nobody":
        raise ValueError("nobody is there")
    suffix = await make_suffix(**implicitly())
    return Greeting(f"hello {request.value}{suffix.value}")


@uncacheable_rule(desc="Count")
async def count_sessions() -> Session:
    """A rule that runs in each session."""
    CALLS.append("session")
    return Session(CALLS.count("session"))


async def write_and_read(value: str) -> str:
    """Await several steps in turn, with a batch in the middle."""
    trees = await concurrently(
        create_digest(CreateDigest([FileContent("a", value.encode())])),
        create_digest(CreateDigest([FileContent("b", b"-" + value.encode())])),
    )
    merged = await merge_digests(MergeDigests(trees))
    contents = await get_digest_contents(merged)
    return "".join(content.content.decode() for content in contents)


async def say(value: str) -> str:
    """Return without awaiting a step."""
    return value


@rule(desc="Greet all")
async def greet_all(request: Names) -> Greetings:
    """Branches of three lengths at once: none, one and three steps."""
    session = await count_sessions(**implicitly())
    greetings = await concurrently(greet(Name(name), **implicitly()) for name in request.values)
    read, said, again = await concurrently(
        write_and_read("x"), say("y"), greet(Name(request.values[0]), **implicitly())
    )
    assert session.number > 0
    return Greetings((*(greeting.value for greeting in greetings), read, said, again.value))


@pytest.fixture
def compat_rule_runner() -> RuleRunner:
    """A new rule runner for each test, because results of rules are memoized."""
    return RuleRunner(
        rules=[
            make_suffix,
            greet,
            count_sessions,
            greet_all,
            QueryRule(Greetings, [Names]),
            QueryRule(DigestContents, [Digest]),
        ]
    )


def test_rules_are_called_by_name_and_remembered(compat_rule_runner: RuleRunner) -> None:
    """Results come in the order of the calls; a rule runs once for each request, as when the engine calls it."""
    CALLS.clear()
    greetings = compat_rule_runner.request(Greetings, [Names(("ann", "bob", "ann"))])
    assert greetings.values == ("hello ann!", "hello bob!", "hello ann!", "x-x", "y", "hello ann!")
    assert sorted(CALLS) == ["ann", "bob", "session", "suffix"]


def test_uncacheable_rule_runs_in_each_session(compat_rule_runner: RuleRunner) -> None:
    """In a new session only this rule and the rules that depend on it run again."""
    compat_rule_runner.request(Greetings, [Names(("carol",))])
    CALLS.clear()
    compat_rule_runner.new_session("another")
    compat_rule_runner.request(Greetings, [Names(("carol",))])
    assert "session" in CALLS
    assert "carol" not in CALLS


def test_failure_of_one_branch_is_the_failure_of_all(compat_rule_runner: RuleRunner) -> None:
    """The error of a rule that was called in a batch reaches the caller unchanged."""
    with pytest.raises(ExecutionError) as caught:
        compat_rule_runner.request(Greetings, [Names(("ann", "nobody"))])
    (error,) = caught.value.wrapped_exceptions
    assert (type(error), str(error)) == (ValueError, "nobody is there")


class Step:
    """A pending engine request, as a by-name call passes it to the engine."""

    def __init__(self, *pending: Any) -> None:
        self.pending = pending

    def __await__(self) -> Generator[Any, Any, Any]:
        if len(self.pending) == 1:
            return (yield self.pending[0])
        return (yield self.pending)


async def walk(*steps: Step) -> list[Any]:
    return [await step for step in steps]


def drive(awaitable: Any) -> tuple[list[Any], Any]:
    """Answer each batch with its requests in capitals; return the batches and the result."""
    generator = awaitable.__await__()
    batches: list[Any] = []
    answer = None
    while True:
        try:
            batch = generator.send(answer)
        except StopIteration as finished:
            return batches, finished.value
        batches.append(batch)
        answer = [request.upper() for request in batch]


def test_concurrent_branches_go_to_the_engine_as_one_batch() -> None:
    """Each round has the next request of every branch that still runs, including nested batches."""
    batches, results = drive(
        concurrently(
            walk(Step("a1"), Step("a2"), Step("a3")),
            walk(),
            walk(Step("c1", "c2")),
            concurrently(walk(Step("d1")), walk(Step("e1"), Step("e2"))),
        )
    )
    assert batches == [("a1", "c1", "c2", "d1", "e1"), ("a2", "e2"), ("a3",)]
    assert results == (["A1", "A2", "A3"], [], [("C1", "C2")], (["D1"], ["E1", "E2"]))


def test_nothing_concurrent_is_nothing() -> None:
    """An empty iterable asks the engine for nothing."""
    assert drive(concurrently([])) == ([], ())
    assert drive(concurrently()) == ([], ())
    assert drive(concurrently(walk() for _ in range(2))) == ([], ([], []))


def test_branches_are_closed_when_one_fails() -> None:
    """If a branch fails, the other branches are closed and run their `finally` blocks."""
    closed = []

    async def hold() -> None:
        try:
            await Step("x")
        finally:
            closed.append("x")

    generator = concurrently(hold(), walk(Step("y"))).__await__()
    next(generator)
    with pytest.raises(ValueError, match="from the engine"):
        generator.throw(ValueError("from the engine"))
    assert closed == ["x"]


def test_rule_keeps_its_name_and_text() -> None:
    """`help` and an engine trace show the name and docstring that the rule's author wrote."""
    assert greet.__name__ == "greet"
    assert greet.__module__ == __name__
    assert greet.__doc__ == "A rule that another calls by name."
    assert greet.rule.canonical_name == f"{__name__}.greet"
