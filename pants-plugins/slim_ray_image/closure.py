"""Stage 2 of 6: target -> requirement strings and first-party files, each with the reason that it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Optional

from pants.backend.python.dependency_inference.module_mapper import PythonModuleOwnersRequest
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import (
    PythonRequirementsField,
    PythonResolveField,
    PythonSourceField,
)
from pants.core.target_types import FileSourceField, ResourceSourceField
from pants.core.util_rules.source_files import SourceFilesRequest
from pants.engine.addresses import Address
from pants.engine.fs import Digest, FileEntry, MergeDigests
from pants.engine.rules import collect_rules
from pants.engine.target import (
    Dependencies,
    DependenciesRequest,
    Target,
    TransitiveTargetsRequest,
)

from slim_ray_image.compat import (
    concurrently,
    determine_source_files,
    get_digest_entries,
    implicitly,
    map_module_to_address,
    merge_digests,
    python_imports,
    resolve_dependencies,
    rule,
    strip_source_roots,
    transitive_targets,
)
from slim_ray_image.core.closure import (
    ClosureFile,
    ClosureRequirement,
    ImportEdge,
    explain_targets,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.dependency_inference import EntryFieldSet, EntryOwnerRequest, find_entry_owner


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
class TargetFileRequest:
    """A request for the one file of a target of the closure."""

    target: Target


@dataclass(frozen=True)
class TargetFile:
    """The one file of a target: where it is in the repository and in the image."""

    source: str
    path: str
    bytes: int
    tree: Digest


@rule
async def read_target_file(request: TargetFileRequest) -> TargetFile:
    """The file with its source root stripped; a `file` keeps its whole path, as Pants' `file` target promises."""
    target = request.target
    field = next(
        target[field_type]
        for field_type in (PythonSourceField, ResourceSourceField, FileSourceField)
        if target.has_field(field_type)
    )
    sources = await determine_source_files(SourceFilesRequest([field]))
    (source,) = sources.files
    stripped = await strip_source_roots(sources)
    entries = await get_digest_entries(stripped.snapshot.digest)
    (entry,) = (entry for entry in entries if isinstance(entry, FileEntry))
    return TargetFile(
        source, entry.path, entry.file_digest.serialized_bytes_length, stripped.snapshot.digest
    )


def _has_file(target: Target) -> bool:
    return any(
        target.has_field(field_type)
        for field_type in (PythonSourceField, ResourceSourceField, FileSourceField)
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
    addresses = await resolve_dependencies(
        DependenciesRequest(target.get(Dependencies)), **implicitly()
    )
    return tuple(str(address) for address in addresses)


def _check_resolves(
    address: Address, resolve: str, targets: list[Target], setup: PythonSetup
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


def _check_not_empty(address: Address, targets: list[Target]) -> None:
    if not targets:
        raise SlimRayImageError(
            f"The image {address} would hold nothing but its base: none of its `dependencies` is Python code, "
            "a file, a resource or a requirement.",
            fixes=["add the targets that the image should hold to `dependencies`"],
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
    targets = [
        target
        for target in transitive.dependencies
        if _has_file(target) or target.has_field(PythonRequirementsField)
    ]
    _check_not_empty(address, targets)
    _check_resolves(address, resolve, targets, python_setup)
    with_file = [target for target in targets if _has_file(target)]
    sources = [target for target in with_file if target.has_field(PythonSourceField)]
    everything = [*transitive.roots, *transitive.dependencies]
    files = await concurrently(
        read_target_file(TargetFileRequest(target), **implicitly()) for target in with_file
    )
    imports = await concurrently(_import_edges(target, resolve, python_setup) for target in sources)
    dependencies = await concurrently(_direct_dependencies(target) for target in everything)
    reasons = explain_targets(
        str(address),
        {str(owner.address): owner.named_by} if owner.address else {},
        {str(target.address): direct for target, direct in zip(everything, dependencies)},
        [edge for edges in imports for edge in edges],
    )
    closure_files = tuple(
        sorted(
            (
                ClosureFile(file.path, file.source, file.bytes, reasons[str(target.address)])
                for target, file in zip(with_file, files)
            ),
            key=lambda file: file.path,
        )
    )
    requirements = {
        ClosureRequirement(str(requirement), reasons[str(target.address)])
        for target in targets
        if target.has_field(PythonRequirementsField)
        for requirement in target[PythonRequirementsField].value
    }
    tree = await merge_digests(MergeDigests(file.tree for file in files))
    return ImageClosure(
        resolve=resolve,
        requirements=tuple(sorted(requirements, key=lambda r: (r.text, r.reason))),
        files=closure_files,
        files_tree=tree,
        entry=next((file for file in closure_files if file.source == owner.source), None),
        named_by=owner.named_by,
    )


def rules() -> Iterable[Any]:
    return collect_rules()
