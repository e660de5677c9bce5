"""Stage 2 of 6: what goes into the image, each thing with the reason that it is there.

In: the edges of the dependency graph, with the imports behind them. Out: `ImageClosure`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Collection, Iterable, Mapping


@dataclass(frozen=True)
class ClosureFile:
    """A first-party file."""

    path: str  # in the image, relative to the working directory
    source: str  # relative to the build root
    bytes: int
    reason: str


@dataclass(frozen=True)
class ClosureRequirement:
    """A requirement of the code."""

    text: str  # PEP 508
    reason: str


@dataclass(frozen=True)
class ImportEdge:
    """An import statement, and the target that owns what it imports."""

    owner: str  # address
    module: str
    source: str  # relative to the build root
    line: int


def is_type_stub_project(name: str) -> bool:
    """Whether a distribution of this name holds type stubs, by the convention that Pants' own mapping follows."""
    return name.startswith(("types-", "stubs-")) or name.endswith(("-types", "-stubs"))


def unneeded_type_stubs(
    stubs: Collection[str], explicit: Collection[str], imports: Iterable[ImportEdge]
) -> frozenset[str]:
    """Return those of `stubs` that only type checkers read: each import of them has another owner, which runs.

    Args:
        stubs: Addresses of what looks like type stubs, by name.
        explicit: Addresses that the image itself depends on; who names a thing means it.
        imports: Every import whose owners are known, an edge for each owner.
    """
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for edge in imports:
        owners[(edge.source, edge.module)].add(edge.owner)
    imported = {owner for together in owners.values() for owner in together}
    needed = {stub for together in owners.values() if together <= set(stubs) for stub in together}
    return frozenset((set(stubs) & imported) - needed - set(explicit))


def explain_targets(
    root: str,
    root_reasons: Mapping[str, str],
    dependencies: Mapping[str, Iterable[str]],
    imports: Iterable[ImportEdge],
) -> dict[str, str]:
    """Return address -> why it is in the image: the first import of it, by file and line, else who depends on it.

    Args:
        root: The image's own address.
        root_reasons: Address -> reason, for what the image names itself.
        dependencies: Address -> the addresses it depends on, for every target of the closure.
        imports: Every import whose owner is known.
    """
    by_import: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    for edge in imports:
        by_import[edge.owner].append((edge.source, edge.line, edge.module))
    dependents: dict[str, list[str]] = defaultdict(list)
    for dependent, addresses in dependencies.items():
        for address in addresses:
            dependents[address].append(dependent)
    reasons = {}
    for address in dependents:
        if address in root_reasons:
            reasons[address] = root_reasons[address]
        elif by_import[address]:
            source, line, module = min(by_import[address])
            reasons[address] = f"import of {module} at {source}:{line}"
        elif root in dependents[address]:
            reasons[address] = f"`dependencies` of {root}"
        else:
            reasons[address] = f"dependency of {min(dependents[address])}"
    return reasons
