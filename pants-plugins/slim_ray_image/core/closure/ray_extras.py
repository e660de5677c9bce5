"""Stage 2 of 6: which extras of Ray the code needs, by what it imports of `ray`.

In: the imports of the closure, the sources that make them, the extras that the requirement names. Out: the extras to
install, each with what was done and why. Extras: METADATA of ray 2.48.0 (`Provides-Extra`); what a module imports of
third parties was measured with each extra alone.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tokenize
from dataclasses import dataclass
from typing import Collection, Iterable, Iterator, Optional, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from slim_ray_image.core.closure.closure import ClosureRequirement, ImportEdge
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.python.parsing import TOO_DEEP, parse_source

RAY = "ray"
# Of core metadata's `Provides-Extra`.
EXTRA_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
KEPT, ADDED, DROPPED = "kept", "added", "dropped"

_HEAD = "default"
_HEAD_REASON = "the head of a Ray cluster, its dashboard and its health checks"
# The longest name that fits counts. `serve` has all of `default`; `train`, `tune` and `rllib` do not list numpy.
_EXTRAS_OF_MODULE = {
    "ray.air": ("data",),
    "ray.data": ("data",),
    "ray.data.llm": ("llm",),
    "ray.llm": ("llm",),
    "ray.rllib": ("data", "rllib"),
    "ray.serve": ("serve",),
    "ray.serve.llm": ("llm",),
    "ray.train": ("data", "train"),
    "ray.tune": ("data", "tune"),
    "ray.util.client": ("client",),
}
# That imports decide. The others, as `observability` or `serve-grpc`, stay as they are required.
_DECIDED = frozenset(
    {"air", "all", "default", *(e for es in _EXTRAS_OF_MODULE.values() for e in es)}
)
# What no extra brings.
_DISTRIBUTION_OF_MODULE = {
    "ray.util.collective": "numpy",
    "ray.util.dask": "dask",
    "ray.util.joblib": "joblib",
}
_REMOVED = {
    "ray.util.horovod": "Ray 2.0",
    "ray.util.lightgbm": "Ray 2.0",
    "ray.util.sgd": "Ray 2.0",
    "ray.util.xgboost": "Ray 2.0",
    "ray.workflow": "Ray 2.48",
}
# A literal, or the text of an f-string up to its first expression.
_CLIENT_ADDRESS = re.compile(r"""([A-Za-z]*["']{1,3})?ray://""")


@dataclass(frozen=True)
class RayUse:
    """A module of Ray that the code uses, and where."""

    module: str
    reason: str


@dataclass(frozen=True)
class RayExtra:
    """An extra of Ray: whether the image has it, and why."""

    name: str
    change: str  # KEPT, ADDED or DROPPED, beside what the requirement names
    reason: str


def is_of_ray(module: str) -> bool:
    """Whether a module, by its dotted name, is one of Ray's."""
    return module == RAY or module.startswith(f"{RAY}.")


def uses_of_imports(imports: Iterable[ImportEdge]) -> tuple[RayUse, ...]:
    """Return the modules of Ray that are imported, each at its first place; sorted by module."""
    first: dict[str, tuple[str, int]] = {}
    for edge in imports:
        if is_of_ray(edge.module):
            place = (edge.source, edge.line)
            first[edge.module] = min(place, first.get(edge.module, place))
    return tuple(
        RayUse(module, f"import of {module} at {source}:{line}")
        for module, (source, line) in sorted(first.items())
    )


@dataclass(frozen=True)
class _Token:
    text: str
    line: int
    is_literal: bool  # a string, or the first text of one with expressions in it


def _expressions(literal: str) -> Iterator[bytes]:
    """The expressions of an f-string that is one token, as before Python 3.12.

    Where that Python ends the token too early, at a quote in an expression, what there is of the expression; and all
    of them in one where it cannot go down into one.
    """
    try:
        nodes = list(ast.walk(parse_source(literal)))
        values = [node.value for node in nodes if isinstance(node, ast.FormattedValue)]
        yield from [ast.unparse(value).encode() for value in values]
    except (SyntaxError, ValueError, *TOO_DEEP):  # ValueError: of a null byte
        yield literal.partition("{")[2].encode()


def _tokens(source: bytes) -> Iterator[_Token]:
    """The tokens of a source, but for comments and ends of lines in brackets.

    Those in f-strings are included, whatever Python this is; their lines are the literal's.

    Raises:
        tokenize.TokenError, SyntaxError: If `source` cannot be told apart into tokens.
    """
    literals: list[int] = []  # the lines of those that are open
    before = ""
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in ("COMMENT", "NL"):
            continue
        line = literals[0] if literals else token.start[0]
        if kind.endswith("STRING_START"):
            literals.append(line)
        elif kind.endswith("STRING_END"):
            literals.pop()
        is_first = kind.endswith("STRING_MIDDLE") and before.endswith("STRING_START")
        yield _Token(token.string, line, kind == "STRING" or is_first)
        before = kind
        if kind == "STRING" and "f" in re.split("[\"']", token.string)[0].lower():
            for expression in _expressions(token.string):
                with contextlib.suppress(tokenize.TokenError, SyntaxError):
                    for inner in _tokens(expression):
                        yield _Token(inner.text, line, inner.is_literal)


def uses_in_source(path: str, source: bytes) -> tuple[RayUse, ...]:
    """Return what a source that imports `ray` uses of it without an import of its own.

    `ray` loads some of its packages when they are first looked up, as in `ray.data.range(3)`, and takes a client's
    address as text. Tokens tell, whatever Python the source is for; what they do not tell is a `ray` of another name.
    """
    found: dict[str, int] = {}
    try:
        tokens = list(_tokens(source))
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError):  # which the compiler reports
        return ()
    texts = [token.text for token in tokens]
    for index, token in enumerate(tokens):
        if token.is_literal and _CLIENT_ADDRESS.match(token.text):
            found.setdefault("ray.util.client", token.line)
        if token.text == RAY and texts[index - 1] != "." and texts[index + 1 : index + 2] == ["."]:
            module = f"{RAY}.{texts[index + 2]}"
            if module in _EXTRAS_OF_MODULE or module in _REMOVED:
                found.setdefault(module, token.line)
    return tuple(
        RayUse(module, f"use of {module} at {path}:{line}")
        for module, line in sorted(found.items())
    )


def _longest_prefix(module: str, prefixes: Collection[str]) -> Optional[str]:
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in prefixes), None)


def check_removed(image: str, uses: Iterable[RayUse]) -> None:
    """Raise if the code uses what Ray no longer has.

    Raises:
        SlimRayImageError: With each such module.
    """
    found = [(use, _longest_prefix(use.module, _REMOVED)) for use in uses]
    removed = sorted(
        f"{use.reason}: {name} is not in {_REMOVED[name]} and later" for use, name in found if name
    )
    if removed:
        raise SlimRayImageError(
            f"The code of the image {image} uses what was removed from Ray, which fails on import.",
            evidence=removed,
            fixes=["remove what uses it"],
        )


def check_uncovered(image: str, uses: Iterable[RayUse], distributions: Collection[str]) -> None:
    """Raise if a module of Ray needs a distribution that no extra brings, and the image has not.

    Args:
        distributions: Canonical names of those of the image.

    Raises:
        SlimRayImageError: With each such module and distribution.
    """
    missing: dict[str, set[str]] = {}
    for use in uses:
        name = _longest_prefix(use.module, _DISTRIBUTION_OF_MODULE)
        if name and _DISTRIBUTION_OF_MODULE[name] not in distributions:
            missing.setdefault(_DISTRIBUTION_OF_MODULE[name], set()).add(use.reason)
    if missing:
        raise SlimRayImageError(
            f"Modules of Ray that the code of the image {image} uses need what no extra of Ray brings.",
            evidence=sorted(
                f"{reason}: it needs {distribution}"
                for distribution, reasons in missing.items()
                for reason in reasons
            ),
            fixes=[
                f"add the requirement {' and '.join(sorted(missing))} to the `dependencies` of {image}, "
                "and refresh the lockfile where it lacks it"
            ],
        )


def _needed(uses: Iterable[RayUse]) -> dict[str, str]:
    """Extra -> the reason that it is needed."""
    needed: dict[str, str] = {}
    for use in uses:
        name = _longest_prefix(use.module, _EXTRAS_OF_MODULE)
        for extra in _EXTRAS_OF_MODULE.get(name or "", ()):
            needed.setdefault(extra, use.reason)
    if "serve" not in needed and "llm" not in needed:  # which have all of it
        needed[_HEAD] = _HEAD_REASON
    return needed


def decide_extras(
    uses: Sequence[RayUse], required: Collection[str], chosen: Optional[Collection[str]] = None
) -> tuple[RayExtra, ...]:
    """Return each extra that was required or is installed, sorted by name.

    Args:
        required: The extras that the requirement names.
        chosen: What the target says instead; None to go by `uses`.
    """
    required = {canonicalize_name(extra) for extra in required}
    if chosen is None:
        needed = _needed(uses)
        for extra in required - _DECIDED:
            needed.setdefault(extra, "the requirement names it, and imports do not tell")
        dropped = "nothing that the code imports needs it"
    else:
        needed = {canonicalize_name(extra): "`ray_extras` names it" for extra in chosen}
        dropped = "`ray_extras` does not name it"
    return tuple(
        RayExtra(
            name,
            DROPPED if name not in needed else KEPT if name in required else ADDED,
            needed.get(name, dropped),
        )
        for name in sorted({*required, *needed})
    )


def explain_added(extras: Iterable[RayExtra]) -> tuple[str, ...]:
    """Return a line for each extra that no requirement names, for who finds that the lockfile lacks it."""
    return tuple(
        f"{RAY}[{extra.name}] is there for {extra.reason}"
        for extra in extras
        if extra.change == ADDED
    )


def _parse(text: str) -> Optional[Requirement]:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    return requirement if canonicalize_name(requirement.name) == RAY else None


def required_extras(requirements: Iterable[ClosureRequirement]) -> Optional[frozenset[str]]:
    """Return the extras that the requirements of Ray name, None where Ray is not required."""
    found = [requirement for requirement in (_parse(r.text) for r in requirements) if requirement]
    return frozenset(extra for r in found for extra in r.extras) if found else None


def with_extras(
    requirements: Iterable[ClosureRequirement], extras: Iterable[RayExtra]
) -> Iterator[ClosureRequirement]:
    """Yield the requirements; those of Ray with the extras that were not dropped."""
    installed = {extra.name for extra in extras if extra.change != DROPPED}
    for requirement in requirements:
        ray = _parse(requirement.text)
        if ray is None:
            yield requirement
        else:
            ray.extras = installed
            yield ClosureRequirement(str(ray), requirement.reason)
