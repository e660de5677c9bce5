"""Stage 2 of 6: decide which files and requirements go into the image, each with a reason.

In: the edges of the dependency graph, with the imports behind them; the files of its targets. Out: `ImageClosure`.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from dataclasses import dataclass
from typing import Collection, Iterable, Mapping

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image_paths import has_control_character, parents


@dataclass(frozen=True)
class ClosureFile:
    """A file of the image: a first-party file, or one that `pants package` made from a target of the monorepo."""

    path: str  # in the image, relative to the working directory
    source: str  # path relative to the build root; for a packaged file, the address of the target
    bytes: int
    reason: str
    sha256: str
    is_executable: bool


@dataclass(frozen=True)
class ClosureRequirement:
    """A requirement of the image's code for a third-party distribution, with the reason."""

    text: str  # PEP 508
    reason: str


@dataclass(frozen=True)
class ClosureWheel:
    """A wheel built from a `python_distribution` of the monorepo."""

    path: str  # in the digest that contains the wheels
    name: str  # canonical (PEP 503)
    version: str
    reason: str


@dataclass(frozen=True)
class PathField:
    """A field of a target whose value is a path in the image's working directory, below which files are put."""

    alias: str
    target: str  # address
    value: str


@dataclass(frozen=True)
class ImportEdge:
    """An import statement, and the target that owns the imported module."""

    owner: str  # address
    module: str
    source: str  # path of the importing file, relative to the build root
    line: int


def is_type_stub_project(name: str) -> bool:
    """Return whether a distribution's name is that of type stubs, by the convention of Pants' own module mapping."""
    return name.startswith(("types-", "stubs-")) or name.endswith(("-types", "-stubs"))


def unneeded_type_stubs(
    stubs: Collection[str], explicit: Collection[str], imports: Iterable[ImportEdge]
) -> frozenset[str]:
    """Return the addresses of type stubs that only type checkers need: each import of them has an owner with code.

    Args:
        stubs: Addresses of requirements whose names look like type stubs.
        explicit: Addresses that the image itself depends on. These are always needed.
        imports: Every import whose owners are known, with one edge per owner.
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
    """Map each target's address to the reason that it is in the image: a field, its first import, or a dependent.

    Args:
        root: The image's own address.
        root_reasons: Address -> reason, for targets that the image's own fields name.
        dependencies: Address -> addresses of its direct dependencies, for every target of the closure.
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


def check_destinations(image: str, fields: Iterable[PathField]) -> None:
    """Check that paths in fields of targets do not lead out of the image's working directory.

    Raises:
        SlimRayImageError: If a field leads out of the working directory.
    """
    outside = sorted(
        f"`{field.alias}` of {field.target} is {field.value!r}"
        for field in fields
        if field.value.startswith("/") or posixpath.normpath(field.value).split("/")[0] == ".."
    )
    if outside:
        raise SlimRayImageError(
            f"Files of the image {image} must be below its `workdir`, but these fields lead out of it:",
            evidence=outside,
            fixes=["use relative paths that do not lead out by `..`"],
        )


def _check_characters(image: str, files: Iterable[ClosureFile]) -> None:
    wrong = [
        f"{file.path!r} from {file.source!r}" for file in files if has_control_character(file.path)
    ]
    if wrong:
        raise SlimRayImageError(
            f"Files of the image {image} have control characters in their names, such as line breaks, which break "
            "tools that read lists of files:",
            evidence=wrong,
            fixes=["rename them", "leave them out of the `sources` of their targets"],
        )


def unite_files(image: str, found: Iterable[ClosureFile]) -> tuple[ClosureFile, ...]:
    """Return one file for each path, sorted by path; raise an error if two files clash, or a path is unusable.

    Several targets may have the same file.

    Raises:
        SlimRayImageError: If two different files have the same path, if two paths differ only by case, or if a path has
            control characters.
    """
    at_path: dict[str, list[ClosureFile]] = defaultdict(list)
    for file in sorted(found, key=lambda file: (file.path, file.source, file.reason)):
        at_path[file.path].append(file)
    _check_characters(image, (file for file, *_ in at_path.values()))
    clashes = [
        f"{path}: from {', '.join(sorted({file.source for file in files}))}"
        for path, files in at_path.items()
        if len({(file.sha256, file.is_executable) for file in files}) > 1
    ]
    if clashes:
        raise SlimRayImageError(
            f"Different files would be at the same path below the `workdir` of the image {image}:",
            evidence=clashes,
            fixes=["make the image depend on one of them alone", "move or rename the others"],
        )
    united = tuple(file for file, *_ in at_path.values())
    _check_case(image, united)
    return united


def _check_case(image: str, files: Iterable[ClosureFile]) -> None:
    by_folded: dict[str, list[ClosureFile]] = defaultdict(list)
    for file in files:
        by_folded[file.path.casefold()].append(file)
    twins = [
        ", ".join(f"{file.path} from {file.source}" for file in together)
        for together in by_folded.values()
        if len(together) > 1
    ]
    if twins:
        raise SlimRayImageError(
            f"Files of the image {image} have paths that differ only by case. A file system that ignores case, such as "
            "that of macOS, keeps only one of them, so the image would differ:",
            evidence=twins,
            fixes=["rename all but one of them", "make the image depend on one of them alone"],
        )


def only_built_with(
    dependencies: Mapping[str, Iterable[str]], distributions: Collection[str]
) -> frozenset[str]:
    """Return the addresses of targets whose direct dependents are all `python_distribution`s of the monorepo.

    Args:
        dependencies: Address -> addresses of its direct dependencies, for every target of the closure.
        distributions: Addresses of the `python_distribution`s.
    """
    by_distributions = {a for d in distributions for a in dependencies.get(d, ())}
    by_others = {a for d, found in dependencies.items() if d not in distributions for a in found}
    return frozenset(by_distributions - by_others)


def files_in_wheels(paths: Collection[str], provided: Collection[str]) -> frozenset[str]:
    """Return the paths of first-party files that can be left out, since a wheel contains them.

    Python reads a regular package, one with an `__init__.py`, from one place only. So if a wheel lacks some file of a
    package, all of the package's first-party files stay.

    Args:
        paths: Paths of first-party files, with source roots stripped.
        provided: Paths of the wheels' files, relative to site-packages.
    """
    there = frozenset(paths) | frozenset(provided)
    split = {
        folder
        for path in set(paths) - set(provided)
        for folder in parents(path)
        if f"{folder}/__init__.py" in there
    }
    return frozenset(path for path in set(paths) & set(provided) if not split & set(parents(path)))
