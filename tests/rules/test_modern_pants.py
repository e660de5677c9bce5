"""The plugin on modern Pants, checked without the engine: it is imported against Pants' sources.

Runs if MODERN_PANTS_SOURCE names the folder of Pants' Python sources (`src/python` of a checkout, 2.32 or newer) and
MODERN_PANTS_PYTHON an interpreter with the distributions that they import; modern_pants/README.md has the commands.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest
from needs import needs
from pants.engine.rules import TaskRule

import slim_ray_image
from slim_ray_image import register

SOURCE = os.environ.get("MODERN_PANTS_SOURCE", "")
PYTHON = os.environ.get("MODERN_PANTS_PYTHON", "")
PLUGIN_SOURCE = Path(slim_ray_image.__file__).parent.parent
CHECK = Path(__file__).parent / "modern_pants" / "check_plugin.py"
# Modern name of a type -> that of 2.17, of those that the engine took over.
MOVED = {
    "pants.engine.internals.native_engine.UnionMembership": "pants.engine.unions.UnionMembership",
}

pytestmark = needs("modern-pants")


def check(plugin_source: Path, package: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-B", str(CHECK), SOURCE, str(plugin_source), package],
        capture_output=True,
        text=True,
    )


def problems_of(description: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} awaits {awaited['rule']}: {awaited['problem']}"
        for name, rule in description["rules"].items()
        for awaited in rule["awaits"]
        if awaited["problem"]
    ]


@pytest.fixture(scope="module")
def description() -> Mapping[str, Any]:
    """The plugin's targets and rules on modern Pants, from check_plugin.py."""
    result = check(PLUGIN_SOURCE, "slim_ray_image")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def rules_here() -> Iterator[TaskRule]:
    """Yield the plugin's rules on the Pants that runs this test."""
    for entry in register.rules():
        rule = getattr(entry, "rule", entry)
        if isinstance(rule, TaskRule) and rule.canonical_name.startswith("slim_ray_image."):
            yield rule


def test_plugin_is_loaded(description: Mapping[str, Any]) -> None:
    """All imported names exist, `@rule` accepts every declaration, and the target types are registered."""
    assert description["target_types"] == [t.alias for t in register.target_types()]


def test_rules_are_the_same(description: Mapping[str, Any]) -> None:
    """Both Pants versions have the same rules, with the same types and the same caching."""
    there = {
        name: (rule["output"], [MOVED.get(p, p) for p in rule["parameters"]], rule["cacheable"])
        for name, rule in description["rules"].items()
    }
    here = {
        rule.canonical_name: (
            name_of(rule.output_type),
            [name_of(selector) for selector in rule.input_selectors],
            rule.cacheable,
        )
        for rule in rules_here()
    }
    assert there == here


def test_every_call_by_name_can_be_followed(description: Mapping[str, Any]) -> None:
    """Each rule awaits only rules, and each argument can become a parameter of the awaited rule."""
    assert problems_of(description) == []


def test_rules_await_the_same(description: Mapping[str, Any]) -> None:
    """The engine finds the same awaited results in each rule's text on both Pants versions."""
    there = {
        name: {awaited["output"] for awaited in rule["awaits"]}
        for name, rule in description["rules"].items()
    }
    here = {
        rule.canonical_name: {name_of(get.output_type) for get in rule.input_gets}
        for rule in rules_here()
    }
    ours = "slim_ray_image."
    for name, awaited in here.items():
        assert {o for o in there[name] if o.startswith(ours)} == {
            o for o in awaited if o.startswith(ours)
        }, name
        assert bool(there[name]) == bool(awaited), name


FAULTY_PLUGIN = """\
from dataclasses import dataclass
from pants.engine.fs import CreateDigest, Digest, PathGlobs
from pants.engine.internals.graph import resolve_targets
from pants.engine.intrinsics import create_digest, path_globs_to_digest
from pants.engine.rules import collect_rules, implicitly, rule

@dataclass(frozen=True)
class Request:
    name: str

@dataclass(frozen=True)
class Result:
    name: str

@rule
async def make_result(request: Request) -> Result:
    {statement}
    return Result("")

async def below(name: str) -> Digest:
    return await create_digest(CreateDigest([]))

def target_types():
    return []

def rules():
    return collect_rules()
"""


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("await create_digest(CreateDigest([]))", None),
        ("await below('x')", "awaits faulty.register.below: there is no such rule"),
        (
            "await resolve_targets(**implicitly(PathGlobs([])))",
            "nothing makes a parameter of it from pants.engine.internals.native_engine.PathGlobs",
        ),
        (
            "await create_digest(CreateDigest([]), 1, 2)",
            "awaits pants.engine.intrinsics.create_digest: it has 1 parameters",
        ),
    ],
    ids=["sound", "helper-below-its-caller", "wrong-implicit-type", "too-many-arguments"],
)
def test_check_notices_a_faulty_call(tmp_path: Path, statement: str, problem: str) -> None:
    """check_plugin.py finds the calls that the engine of modern Pants would reject."""
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "register.py").write_text(FAULTY_PLUGIN.format(statement=statement))
    result = check(tmp_path, "faulty")
    assert result.returncode == 0, result.stderr
    problems = problems_of(json.loads(result.stdout))
    if problem is None:
        assert problems == []
    else:
        (found,) = problems
        assert problem in found


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("from pants.engine.rules import Get", "ImportError: cannot import name 'Get'"),
        ("await create_digest(request=1)", "ValueError: Invalid call."),
    ],
    ids=["removed-name", "keyword-argument"],
)
def test_check_notices_what_cannot_be_loaded(tmp_path: Path, statement: str, error: str) -> None:
    """An import of a removed name and a call that `@rule` rejects end with Python's own error."""
    text = FAULTY_PLUGIN.format(statement="pass" if "import" in statement else statement)
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "register.py").write_text(
        f"{statement}\n{text}" if "import" in statement else text
    )
    result = check(tmp_path, "faulty")
    assert result.returncode != 0
    assert error in result.stderr
