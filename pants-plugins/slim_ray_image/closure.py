"""Stage 2 of 6: target -> requirement strings and first-party files, each with the reason that it is there."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Collection, Iterable, Optional, Sequence

from pants.backend.python.dependency_inference.module_mapper import PythonModuleOwnersRequest
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import (
    PythonRequirementsField,
    PythonResolveField,
    PythonSourceField,
)
from pants.backend.shell.target_types import ShellSourceField
from pants.core.target_types import FileSourceField, ResourceSourceField
from pants.core.util_rules.source_files import SourceFiles
from pants.engine.addresses import Address
from pants.engine.fs import Digest, FileDigest, FileEntry, MergeDigests
from pants.engine.rules import collect_rules
from pants.engine.target import (
    Dependencies,
    DependenciesRequest,
    HydrateSourcesRequest,
    SourcesField,
    Target,
    TransitiveTargetsRequest,
)

from slim_ray_image.compat import (
    concurrently,
    get_digest_entries,
    hydrate_sources,
    implicitly,
    map_module_to_address,
    merge_digests,
    python_imports,
    resolve_dependencies,
    resolve_targets,
    rule,
    strip_source_roots,
    transitive_targets,
)
from slim_ray_image.core.closure import (
    ClosureFile,
    ClosureRequirement,
    ImportEdge,
    explain_targets,
    is_type_stub_project,
    unneeded_type_stubs,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.dependency_inference import (
    EntryFieldSet,
    EntryOwner,
    EntryOwnerRequest,
    find_entry_owner,
)


@dataclass(frozen=True)
class ImageClosureRequest:
    """A request for everything that a target's code needs."""

    field_set: EntryFieldSet


@dataclass(frozen=True)
class ImageClosure:
    """Everything that goes into the image on top of the base.

    Attributes:
        resolve: The resolve's name.
        requirements: Sorted by text.
        files: Sorted by path.
        files_tree: The files, at their paths in the image relative to the working directory.
        entry: The file that the image starts with, where it is a first-party one.
        named_by: The field that names it, for messages.
    """

    resolve: str
    requirements: tuple[ClosureRequirement, ...]
    files: tuple[ClosureFile, ...]
    files_tree: Digest
    entry: Optional[ClosureFile]
    named_by: str


@dataclass(frozen=True)
class TargetFilesRequest:
    """A request for the files of a target of the closure."""

    target: Target


@dataclass(frozen=True)
class TargetFile:
    """A file of a target: where it is in the repository and in the image."""

    source: str
    path: str
    content: FileDigest


@dataclass(frozen=True)
class TargetFiles:
    """The files of a target, its own or generated ones; none for what is no code, file or resource of the image."""

    files: tuple[TargetFile, ...]
    tree: Digest


@rule
async def read_target_files(request: TargetFilesRequest) -> TargetFiles:
    """The files with their source roots stripped; a `file` keeps its whole path, as Pants' `file` target promises."""
    hydrated = await hydrate_sources(
        HydrateSourcesRequest(
            request.target[SourcesField],
            for_sources_types=(
                PythonSourceField,
                ResourceSourceField,
                FileSourceField,
                ShellSourceField,
            ),
            enable_codegen=True,
        ),
        **implicitly(),
    )
    is_rooted = hydrated.sources_type is not None and hydrated.sources_type.uses_source_roots
    unrooted = () if is_rooted else hydrated.snapshot.files
    stripped = await strip_source_roots(SourceFiles(hydrated.snapshot, unrooted))
    entries = await get_digest_entries(stripped.snapshot.digest)
    contents = {entry.path: entry.file_digest for entry in entries if isinstance(entry, FileEntry)}
    files = []
    for source in hydrated.snapshot.files:
        path = max((path for path in contents if f"/{source}".endswith(f"/{path}")), key=len)
        files.append(TargetFile(source, path, contents[path]))
    return TargetFiles(tuple(files), stripped.snapshot.digest)


def _unite_files(
    address: Address, found: Iterable[tuple[TargetFile, str]]
) -> tuple[ClosureFile, ...]:
    """Return one file for each path, sorted by it, of files with reasons: several targets may have the same one.

    Raises:
        SlimRayImageError: If different files would be at one path.
    """
    at_path: dict[str, list[tuple[TargetFile, str]]] = defaultdict(list)
    for file, reason in sorted(found, key=lambda pair: (pair[0].path, pair[0].source, pair[1])):
        at_path[file.path].append((file, reason))
    clashes = [
        f"{path}: from {', '.join(sorted({file.source for file, _ in files}))}"
        for path, files in at_path.items()
        if len({file.content for file, _ in files}) > 1
    ]
    if clashes:
        raise SlimRayImageError(
            f"Different files would be at the same path below the `workdir` of the image {address}:",
            evidence=clashes,
            fixes=["make the image depend on one of them alone", "move or rename the others"],
        )
    return tuple(
        ClosureFile(path, file.source, file.content.serialized_bytes_length, reason)
        for path, ((file, reason), *_) in at_path.items()
    )


async def _import_edges(
    target: Target, resolve: str, python_setup: PythonSetup
) -> tuple[ImportEdge, ...]:
    """The imports of one source that have an owner, by Pants' own inference."""
    lines = await python_imports(target, python_setup)
    modules = sorted(lines)
    owners = await concurrently(
        map_module_to_address(PythonModuleOwnersRequest(module, resolve=resolve), **implicitly())
        for module in modules
    )
    source = target[PythonSourceField].file_path
    return tuple(
        ImportEdge(str(address), module, source, lines[module])
        for module, found in zip(modules, owners)
        for address in (*found.unambiguous, *found.ambiguous)
    )


async def _direct_dependencies(target: Target) -> tuple[str, ...]:
    """Its dependencies, with what a generator generates in the generator's place, as in transitive targets."""
    addresses = await resolve_dependencies(
        DependenciesRequest(target.get(Dependencies)), **implicitly()
    )
    targets = await resolve_targets(**implicitly(addresses))
    return tuple(str(dependency.address) for dependency in targets)


async def _all_import_edges(
    targets: Iterable[Target], resolve: str, python_setup: PythonSetup
) -> tuple[ImportEdge, ...]:
    by_source = await concurrently(
        _import_edges(target, resolve, python_setup)
        for target in targets
        if target.has_field(PythonSourceField)
    )
    return tuple(edge for edges in by_source for edge in edges)


async def _all_dependencies(targets: Sequence[Target]) -> dict[str, tuple[str, ...]]:
    """Address -> the addresses of its direct dependencies."""
    found = await concurrently(_direct_dependencies(target) for target in targets)
    return {str(target.address): direct for target, direct in zip(targets, found)}


def _check_resolves(
    address: Address, resolve: str, targets: Iterable[Target], setup: PythonSetup
) -> None:
    wrong = sorted(
        f"{target.address} is in {target[PythonResolveField].normalized_value(setup)!r}"
        for target in targets
        if target.has_field(PythonResolveField)
        and target[PythonResolveField].normalized_value(setup) != resolve
    )
    if wrong:
        raise SlimRayImageError(
            f"The image {address} is of the resolve {resolve!r}, but some of its dependencies are not:",
            evidence=wrong,
            fixes=[
                f"set `resolve` on {address} to that of its dependencies",
                "remove the dependencies of the other resolve",
            ],
        )


def _check_has_lockfile(address: Address, python_setup: PythonSetup) -> None:
    if not python_setup.enable_resolves:
        raise SlimRayImageError(
            f"The image {address} needs a lockfile, but `[python].enable_resolves` is off.",
            fixes=[
                "set `enable_resolves = true` in `[python]`, and name the lockfile in `[python.resolves]`"
            ],
        )


def _check_has_entry(address: Address, owner: EntryOwner, targets: Iterable[Target]) -> None:
    if owner.address and owner.address not in {target.address for target in targets}:
        raise SlimRayImageError(
            f"The image {address} would start with {owner.address}, by {owner.named_by}, but its `dependencies` "
            "exclude that.",
            fixes=["remove the exclusion, which starts with `!`, from `dependencies`"],
        )


def _check_not_empty(
    address: Address, files: Sequence[ClosureFile], requirements: Collection[ClosureRequirement]
) -> None:
    if not files and not requirements:
        raise SlimRayImageError(
            f"The image {address} would hold nothing but its base: none of its `dependencies` is Python code, "
            "a file, a resource or a requirement.",
            fixes=["add the targets that the image should hold to `dependencies`"],
        )


def _looks_like_type_stubs(target: Target) -> bool:
    if target.has_field(PythonSourceField):
        return target[PythonSourceField].file_path.endswith(".pyi")
    return target.has_field(PythonRequirementsField) and all(
        is_type_stub_project(requirement.project_name.lower())
        for requirement in target[PythonRequirementsField].value
    )


@rule(desc="Find what a slim_ray_image needs")
async def resolve_image_closure(
    request: ImageClosureRequest, python_setup: PythonSetup
) -> ImageClosure:
    """The closure; re-runs when a file of it, or a target of the repository, changes."""
    field_set = request.field_set
    address = field_set.address
    _check_has_lockfile(address, python_setup)
    resolve = field_set.resolve.normalized_value(python_setup)
    owner = await find_entry_owner(EntryOwnerRequest(field_set), **implicitly())
    if owner.problem:
        raise SlimRayImageError(owner.problem)
    transitive = await transitive_targets(TransitiveTargetsRequest([address]), **implicitly())
    targets = transitive.dependencies
    _check_has_entry(address, owner, targets)
    _check_resolves(address, resolve, targets, python_setup)
    edges = await _all_import_edges(targets, resolve, python_setup)
    dependencies = await _all_dependencies([*transitive.roots, *targets])
    reasons = explain_targets(
        str(address),
        {str(owner.address): owner.named_by} if owner.address else {},
        dependencies,
        edges,
    )
    stubs = unneeded_type_stubs(
        [str(target.address) for target in targets if _looks_like_type_stubs(target)],
        dependencies[str(address)],
        edges,
    )
    needed = [target for target in targets if str(target.address) not in stubs]
    with_files = [target for target in needed if target.has_field(SourcesField)]
    found = await concurrently(
        read_target_files(TargetFilesRequest(target), **implicitly()) for target in with_files
    )
    files = _unite_files(
        address,
        (
            (file, reasons[str(target.address)])
            for target, of_target in zip(with_files, found)
            for file in of_target.files
        ),
    )
    requirements = {
        ClosureRequirement(str(requirement), reasons[str(target.address)])
        for target in needed
        if target.has_field(PythonRequirementsField)
        for requirement in target[PythonRequirementsField].value
    }
    _check_not_empty(address, files, requirements)
    tree = await merge_digests(MergeDigests(of_target.tree for of_target in found))
    return ImageClosure(
        resolve=resolve,
        requirements=tuple(sorted(requirements, key=lambda r: (r.text, r.reason))),
        files=files,
        files_tree=tree,
        entry=next((file for file in files if file.source == owner.source), None),
        named_by=owner.named_by,
    )


def rules() -> Iterable[Any]:
    return collect_rules()
