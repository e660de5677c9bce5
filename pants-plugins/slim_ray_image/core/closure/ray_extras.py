"""Stage 2 of 6: decide which extras of Ray the code needs, from the modules of `ray` that it uses.

In: the imports of the closure, their sources, the extras that the requirement names. Out: the extras to install or
drop, each with a reason. The names of extras are from the METADATA of ray 2.48.0 (`Provides-Extra`). Which extra a
module needs was measured, by imports with one extra installed at a time.
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
# The grammar of `Provides-Extra` in core metadata.
EXTRA_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
KEPT, ADDED, DROPPED = "kept", "added", "dropped"

_HEAD = "default"
_HEAD_REASON = "the head of a Ray cluster, its dashboard and its health checks"
# The longest prefix of a module's name counts. `serve` includes all of `default`; `train`, `tune` and `rllib` lack
# numpy, so their modules need `data` too.
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
# Extras that imports decide. The others, such as `observability` or `serve-grpc`, stay if the requirement names them.
_DECIDED = frozenset(
    {"air", "all", "default", *(e for es in _EXTRAS_OF_MODULE.values() for e in es)}
)
# Modules whose third-party dependency is in none of Ray's extras.
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
# Matches the start of a string literal, or of an f-string's text before its first expression.
_CLIENT_ADDRESS = re.compile(r"""([A-Za-z]*["']{1,3})?ray://""")


@dataclass(frozen=True)
class RayUse:
    """A module of Ray that the code uses, and the place of its use."""

    module: str
    reason: str  # such as "import of ray.data at src/app.py:3"


@dataclass(frozen=True)
class RayExtra:
    """An extra of Ray, and the reason that the image has or lacks it."""

    name: str
    change: str  # KEPT, ADDED or DROPPED, compared with the extras that the requirement names
    reason: str


def is_of_ray(module: str) -> bool:
    """Return whether a dotted name is `ray` or a module below it."""
    return module == RAY or module.startswith(f"{RAY}.")


def uses_of_imports(imports: Iterable[ImportEdge]) -> tuple[RayUse, ...]:
    """Return the imported modules of Ray, each with the place of its first import; sorted by module."""
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
    is_literal: bool  # whether it is a string, or an f-string's text before its first expression


def _expressions(literal: str) -> Iterator[bytes]:
    """Yield the source of each expression in an f-string that Python's tokenizer returns whole, as before 3.12.

    If the f-string cannot be parsed, yield all the text after its first brace at once. That is so if this Python ended
    the token early, at a quote in an expression, or if an expression is nested too deeply.
    """
    try:
        nodes = list(ast.walk(parse_source(literal)))
        values = [node.value for node in nodes if isinstance(node, ast.FormattedValue)]
        yield from [ast.unparse(value).encode() for value in values]
    except (SyntaxError, ValueError, *TOO_DEEP):  # ValueError: the literal has a null byte
        yield literal.partition("{")[2].encode()


def _tokens(source: bytes) -> Iterator[_Token]:
    """Yield the tokens of a Python source, without comments and without line ends inside of a statement.

    Tokens inside of f-strings are included on every version of Python; their line is the line of the f-string.

    Raises:
        tokenize.TokenError, SyntaxError: If `source` cannot be split into tokens.
    """
    literals: list[int] = []  # the lines of the f-strings that are still open
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
    """Return the modules of Ray that a source uses other than by import, as in `ray.data.range(3)` or by `ray://`.

    `ray` loads some of its packages at their first use, such as `ray.data.range(3)`, and reads a client's address from
    text. The search reads tokens, so it works for sources of any version of Python. It does not find uses of `ray`
    under another name.
    """
    found: dict[str, int] = {}
    try:
        tokens = list(_tokens(source))
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError):  # the compiler reports it
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
    """Check that the code uses no module that was removed from Ray.

    Raises:
        SlimRayImageError: If it does. The error names each such module.
    """
    found = [(use, _longest_prefix(use.module, _REMOVED)) for use in uses]
    removed = sorted(
        f"{use.reason}: {name} is not in {_REMOVED[name]} and later" for use, name in found if name
    )
    if removed:
        raise SlimRayImageError(
            f"The code of the image {image} uses modules that Ray no longer has, so their import fails.",
            evidence=removed,
            fixes=["remove these uses"],
        )


def check_uncovered(image: str, uses: Iterable[RayUse], distributions: Collection[str]) -> None:
    """Check that the image has the distributions that modules of Ray need, but no extra of Ray installs.

    Args:
        distributions: Canonical names of the image's distributions.

    Raises:
        SlimRayImageError: If one is missing. The error names each such module and its distribution.
    """
    missing: dict[str, set[str]] = {}
    for use in uses:
        name = _longest_prefix(use.module, _DISTRIBUTION_OF_MODULE)
        if name and _DISTRIBUTION_OF_MODULE[name] not in distributions:
            missing.setdefault(_DISTRIBUTION_OF_MODULE[name], set()).add(use.reason)
    if missing:
        raise SlimRayImageError(
            f"Modules of Ray that the code of the image {image} uses need distributions that no extra of Ray installs.",
            evidence=sorted(
                f"{reason}: it needs {distribution}"
                for distribution, reasons in missing.items()
                for reason in reasons
            ),
            fixes=[
                f"add requirements for {' and '.join(sorted(missing))} to the `dependencies` of {image}, "
                f"and refresh the lockfile if it lacks {'it' if len(missing) == 1 else 'them'}"
            ],
        )


def _needed(uses: Iterable[RayUse]) -> dict[str, str]:
    """Map each extra of Ray that the code, or the head of a Ray cluster, needs to the reason."""
    needed: dict[str, str] = {}
    for use in uses:
        name = _longest_prefix(use.module, _EXTRAS_OF_MODULE)
        for extra in _EXTRAS_OF_MODULE.get(name or "", ()):
            needed.setdefault(extra, use.reason)
    if "serve" not in needed and "llm" not in needed:  # both include all of `default`
        needed[_HEAD] = _HEAD_REASON
    return needed


def decide_extras(
    uses: Sequence[RayUse], required: Collection[str], chosen: Optional[Collection[str]] = None
) -> tuple[RayExtra, ...]:
    """Decide for each extra of Ray whether it is kept, added or dropped, and why; sorted by name.

    Args:
        required: The extras that the requirement names.
        chosen: The extras that `ray_extras` names, which alone are installed; None to decide from `uses`.
    """
    required = {canonicalize_name(extra) for extra in required}
    if chosen is None:
        needed = _needed(uses)
        for extra in required - _DECIDED:
            needed.setdefault(extra, "the requirement names it, and imports do not decide it")
        dropped = "nothing in the code needs it"
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
    """Return a line for each extra of Ray that was added, for the error that the lockfile lacks its distributions."""
    return tuple(
        f"{RAY}[{extra.name}] was added: {extra.reason}"
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
    """Return the extras that the requirements of Ray name; None if Ray is not required."""
    found = [requirement for requirement in (_parse(r.text) for r in requirements) if requirement]
    return frozenset(extra for r in found for extra in r.extras) if found else None


def with_extras(
    requirements: Iterable[ClosureRequirement], extras: Iterable[RayExtra]
) -> Iterator[ClosureRequirement]:
    """Yield the requirements, where a requirement of Ray gets the extras that were not dropped instead of its own."""
    installed = {extra.name for extra in extras if extra.change != DROPPED}
    for requirement in requirements:
        ray = _parse(requirement.text)
        if ray is None:
            yield requirement
        else:
            ray.extras = installed
            yield ClosureRequirement(str(ray), requirement.reason)
