"""Stage 2 of 6, second half: targets -> requirement strings, first-party files and wheels, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection, Iterable, Mapping, Optional, Sequence

from packaging.utils import canonicalize_name
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import (
    PythonRequirementsField,
    PythonResolveField,
    PythonSourceField,
)
from pants.backend.shell.target_types import ShellSourceField
from pants.core.goals.package import PackageFieldSet
from pants.core.target_types import FileSourceField, ResourceSourceField
from pants.core.util_rules.source_files import SourceFiles
from pants.engine.addresses import Address
from pants.engine.fs import (
    CreateDigest,
    Digest,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
)
from pants.engine.rules import collect_rules
from pants.engine.target import (
    HydrateSourcesRequest,
    SourcesField,
    Target,
)

from slim_ray_image.compat import (
    concurrently,
    create_digest,
    get_digest_contents,
    get_digest_entries,
    hydrate_sources,
    implicitly,
    merge_digests,
    requirement_name,
    rule,
    strip_source_roots,
)
from slim_ray_image.core.closure.closure import (
    ClosureFile,
    ClosureRequirement,
    ClosureWheel,
    ImportEdge,
    check_destinations,
    explain_targets,
    files_in_wheels,
    is_type_stub_project,
    only_built_with,
    unite_files,
    unneeded_type_stubs,
)
from slim_ray_image.core.closure.ray_extras import (
    RayExtra,
    RayUse,
    check_removed,
    decide_extras,
    is_of_ray,
    required_extras,
    uses_in_source,
    uses_of_imports,
    with_extras,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.serve.import_paths import ImportPath
from slim_ray_image.core.serve.serve_config import SERVE_CONFIG_FILE, ImageConfig
from slim_ray_image.dependency_inference import (
    EntryFieldSet,
    EntryOwner,
    EntryOwners,
    EntryOwnersRequest,
    find_entry_owners,
)
from slim_ray_image.packages import (
    OwnWheel,
    OwnWheelRequest,
    PackageFilesRequest,
    build_own_wheel,
    check_no_image,
    is_distribution,
    package_files,
    path_fields,
)
from slim_ray_image.reach import ReachedTargets, all_import_edges, reach


@dataclass(frozen=True)
class ImageClosureRequest:
    """A request for everything that a target's code needs."""

    field_set: EntryFieldSet
    ray_extras: Optional[tuple[str, ...]] = None  # None: the extras that the code's imports need


@dataclass(frozen=True)
class ImageEntry:
    """A module or a file that the image starts with, such as the module of a Serve application or the program to run.

    Attributes:
        file: Its file, if it is first-party.
        named_by: The field or the line that names the entry, for messages.
        import_path: Import path, if the entry is a Serve application.
    """

    file: Optional[ClosureFile]
    named_by: str
    import_path: Optional[ImportPath]


@dataclass(frozen=True)
class ImageClosure:
    """Everything that goes into an image on top of the base image: first-party files, requirements and wheels.

    Attributes:
        resolve: Name of the resolve.
        requirements: Sorted by text, without requirements on `wheels`. Ray's requirement has the extras of
            `ray_extras`.
        files: Sorted by path. Files that a wheel also provides are omitted, unless that would split a regular package
            across two folders.
        wheels: Wheels of the repository's own distributions, sorted by name.
        wheels_tree: The wheels, at their paths.
        entries: Modules and files that the image starts with.
        config: Content of the file that `serve_config` names.
        ray_uses: Modules of Ray that the code uses.
        ray_extras: Ray's extras that were kept, added and dropped; empty if Ray is not required.
    """

    resolve: str
    requirements: tuple[ClosureRequirement, ...]
    files: tuple[ClosureFile, ...]
    wheels: tuple[ClosureWheel, ...]
    wheels_tree: Digest
    entries: tuple[ImageEntry, ...]
    config: Optional[ImageConfig]
    ray_uses: tuple[RayUse, ...]
    ray_extras: tuple[RayExtra, ...]

    @property
    def program(self) -> Optional[ClosureFile]:
        """The file that the image runs as a program, if this file is first-party."""
        if len(self.entries) != 1 or self.entries[0].import_path:
            return None
        return self.entries[0].file


@dataclass(frozen=True)
class TargetFilesRequest:
    """A request for the files that a target adds to an image."""

    target: Target


@dataclass(frozen=True)
class TargetFile:
    """A file of a target, with its paths in the monorepo and in the image."""

    source: str
    entry: FileEntry  # its path in the image, relative to the working directory, and its content
    is_rooted: bool  # whether its source root was stripped


@dataclass(frozen=True)
class TargetFiles:
    """The own or generated files that a target adds to an image; none if it is not code, a file or a resource."""

    files: tuple[TargetFile, ...]


@rule
async def read_target_files(request: TargetFilesRequest) -> TargetFiles:
    """Return a target's files without their source roots; files of a `file` target keep whole paths, as in Pants."""
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
    at_path = {entry.path: entry for entry in entries if isinstance(entry, FileEntry)}
    files = []
    for source in hydrated.snapshot.files:
        path = max((path for path in at_path if f"/{source}".endswith(f"/{path}")), key=len)
        files.append(TargetFile(source, at_path[path], is_rooted))
    return TargetFiles(tuple(files))


def _closure_file(entry: FileEntry, source: str, reason: str) -> ClosureFile:
    return ClosureFile(
        entry.path,
        source,
        entry.file_digest.serialized_bytes_length,
        reason,
        entry.file_digest.fingerprint,
        entry.is_executable,
    )


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
            f"The image {address} uses the resolve {resolve!r}, but some of its dependencies use another one:",
            evidence=wrong,
            fixes=[
                f"set `resolve` on {address} to the resolve of its dependencies",
                "remove the dependencies in the other resolve",
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


def _check_has_entries(
    address: Address, owners: Iterable[EntryOwner], targets: Iterable[Target]
) -> None:
    there = {target.address for target in targets}
    for owner in owners:
        if owner.address and owner.address not in there:
            raise SlimRayImageError(
                f"The image {address} starts with {owner.address}, named by {owner.named_by}, but its `dependencies` "
                "exclude this target.",
                fixes=["remove the exclusion, which starts with `!`, from `dependencies`"],
            )


def _check_not_empty(address: Address, *things: Collection[Any]) -> None:
    if not any(things):
        raise SlimRayImageError(
            f"The image {address} would contain nothing but its base: none of its `dependencies` is Python code, "
            "a file, a resource, a requirement or a package.",
            fixes=["add the targets that the image should contain to `dependencies`"],
        )


def _looks_like_type_stubs(target: Target) -> bool:
    if target.has_field(PythonSourceField):
        return target[PythonSourceField].file_path.endswith(".pyi")
    return target.has_field(PythonRequirementsField) and all(
        is_type_stub_project(requirement_name(requirement).lower())
        for requirement in target[PythonRequirementsField].value
    )


def _is_build_input(target: Target) -> bool:
    """Return whether a target can be mere input to the build of a wheel: a `setup.py`, or files that are not Python."""
    if target.has_field(PythonSourceField):
        return target[PythonSourceField].file_path.endswith("/setup.py")
    return target.has_field(SourcesField)


async def _build_wheels(
    address: Address, packages: Mapping[Target, PackageFieldSet]
) -> tuple[OwnWheel, ...]:
    return await concurrently(
        build_own_wheel(OwnWheelRequest(address, field_set), **implicitly())
        for target, field_set in packages.items()
        if is_distribution(target)
    )


async def _packaged_files(
    packages: Mapping[Target, PackageFieldSet], reasons: Mapping[str, str]
) -> list[ClosureFile]:
    """Return the files that `pants package` makes of targets that contain their own code, such as a `pex_binary`."""
    own = {target: f for target, f in packages.items() if not is_distribution(target)}
    found = await concurrently(
        package_files(PackageFilesRequest(field_set), **implicitly()) for field_set in own.values()
    )
    return [
        _closure_file(entry, str(target.address), reasons[str(target.address)])
        for target, of_target in zip(own, found)
        for entry in of_target.entries
    ]


async def _first_party_files(
    reached: ReachedTargets,
    targets: Iterable[Target],
    reasons: Mapping[str, str],
    wheels: Sequence[OwnWheel],
) -> tuple[list[ClosureFile], frozenset[str]]:
    """Return the targets' files, and the paths that can be omitted because wheels of the monorepo have them."""
    with_files = [target for target in targets if target.has_field(SourcesField)]
    found = await concurrently(
        read_target_files(TargetFilesRequest(target), **implicitly()) for target in with_files
    )
    provided = {path for wheel in wheels for path in wheel.files}
    distributions = [str(target.address) for target in reached.packages if is_distribution(target)]
    for_builds = only_built_with(reached.dependencies, distributions)
    files, rooted = [], set()
    for target, of_target in zip(with_files, found):
        is_for_build = str(target.address) in for_builds and _is_build_input(target)
        for file in of_target.files:
            if is_for_build and file.entry.path not in provided:
                continue
            files.append(_closure_file(file.entry, file.source, reasons[str(target.address)]))
            if file.is_rooted:
                rooted.add(file.entry.path)
    return files, files_in_wheels(rooted, provided)


def _requirements(
    targets: Iterable[Target], reasons: Mapping[str, str], own_names: Collection[str]
) -> set[ClosureRequirement]:
    """Return the requirements of the targets, without those on distributions that the monorepo builds itself."""
    return {
        ClosureRequirement(str(requirement), reasons[str(target.address)])
        for target in targets
        if target.has_field(PythonRequirementsField)
        for requirement in target[PythonRequirementsField].value
        if canonicalize_name(requirement_name(requirement)) not in own_names
    }


def _serving_fields(field_set: EntryFieldSet, found: EntryOwners) -> list[str]:
    """Return a list with the name of the field for Serve applications (`serve_app` or `serve_config`), or []."""
    if field_set.serve_app.value:
        return [field_set.serve_app.alias]
    return [field_set.serve_config.alias] if found.config and found.config.serve else []


async def _ray_uses(
    fields: Sequence[str],
    owners: Iterable[EntryOwner],
    edges: Sequence[ImportEdge],
    files: Sequence[ClosureFile],
) -> tuple[RayUse, ...]:
    """Return the modules of Ray that an image imports, uses as attributes of `ray`, starts with, or needs to serve."""
    importers = {edge.source for edge in edges if is_of_ray(edge.module)}
    sources = [file for file in files if file.source in importers]
    contents = await get_digest_contents(
        await create_digest(
            CreateDigest(FileEntry(f.path, FileDigest(f.sha256, f.bytes)) for f in sources)
        )
    )
    source_at = {file.path: file.source for file in sources}
    looked_up = [u for c in contents for u in uses_in_source(source_at[c.path], c.content)]
    entries = [RayUse(owner.module, owner.named_by) for owner in owners if is_of_ray(owner.module)]
    serve = [RayUse("ray.serve", f"`{field}`") for field in fields]
    return (*uses_of_imports(edges), *looked_up, *entries, *serve)


def _decide_ray_extras(
    uses: Sequence[RayUse],
    requirements: Collection[ClosureRequirement],
    chosen: Optional[tuple[str, ...]],
) -> tuple[RayExtra, ...]:
    required = required_extras(requirements)
    return () if required is None else decide_extras(uses, required, chosen)


async def _config_files(address: Address, found: EntryOwners) -> list[ClosureFile]:
    """Return a list with the file for the working directory that has the Serve config; empty without a Serve config."""
    if not found.config or not found.config.serve:
        return []
    content = FileContent(SERVE_CONFIG_FILE, found.config.serve.text.encode())
    entries = await get_digest_entries(await create_digest(CreateDigest([content])))
    reason = f"`serve_config` of {address}"
    return [
        _closure_file(entry, found.config.file, reason)
        for entry in entries
        if isinstance(entry, FileEntry)
    ]


def _image_entries(
    owners: Iterable[EntryOwner], files: Iterable[ClosureFile]
) -> tuple[ImageEntry, ...]:
    by_source = {file.source: file for file in files}
    return tuple(
        ImageEntry(by_source.get(owner.source or ""), owner.named_by, owner.import_path)
        for owner in owners
    )


@rule(desc="Find the code and requirements of a slim_ray_image")
async def resolve_image_closure(
    request: ImageClosureRequest, python_setup: PythonSetup
) -> ImageClosure:
    """Return everything that a target's code needs; runs again when one of its files or a target changes."""
    field_set = request.field_set
    address = field_set.address
    _check_has_lockfile(address, python_setup)
    resolve = field_set.resolve.normalized_value(python_setup)
    found = await find_entry_owners(EntryOwnersRequest(field_set), **implicitly())
    if found.problems:
        raise SlimRayImageError.of(found.problems)
    reached = await reach(address, field_set.dependencies)
    targets, packages = reached.targets, reached.packages
    _check_has_entries(address, found.owners, targets)
    _check_resolves(address, resolve, targets, python_setup)
    check_no_image(address, packages)
    check_destinations(
        str(address), [f for target in (*targets, *packages) for f in path_fields(target)]
    )
    edges = await all_import_edges(targets, resolve, python_setup)
    reasons = explain_targets(
        str(address),
        # If several entries name one owner, the first entry is the reason.
        {str(owner.address): owner.named_by for owner in reversed(found.owners)},
        reached.dependencies,
        edges,
    )
    stubs = unneeded_type_stubs(
        [str(target.address) for target in targets if _looks_like_type_stubs(target)],
        reached.dependencies[str(address)],
        edges,
    )
    needed = [target for target in targets if str(target.address) not in stubs]
    wheels = await _build_wheels(address, packages)
    packaged = await _packaged_files(packages, reasons)
    first_party, in_wheels = await _first_party_files(reached, needed, reasons, wheels)
    config_files = await _config_files(address, found)
    files = unite_files(str(address), [*first_party, *packaged, *config_files])
    requirements = _requirements(needed, reasons, {wheel.name for wheel in wheels})
    _check_not_empty(address, files, requirements, wheels)
    fields = _serving_fields(field_set, found)
    ray_uses = await _ray_uses(fields, found.owners, edges, files)
    check_removed(str(address), ray_uses)
    ray_extras = _decide_ray_extras(ray_uses, requirements, request.ray_extras)
    return ImageClosure(
        resolve=resolve,
        requirements=tuple(
            sorted(with_extras(requirements, ray_extras), key=lambda r: (r.text, r.reason))
        ),
        files=tuple(file for file in files if file.path not in in_wheels),
        wheels=tuple(
            sorted(
                (
                    ClosureWheel(wheel.path, wheel.name, wheel.version, reasons[wheel.target])
                    for wheel in wheels
                ),
                key=lambda wheel: wheel.name,
            )
        ),
        wheels_tree=await merge_digests(MergeDigests(wheel.tree for wheel in wheels)),
        entries=_image_entries(found.owners, files),
        config=found.config,
        ray_uses=ray_uses,
        ray_extras=ray_extras,
    )


def rules() -> Iterable[Any]:
    return collect_rules()
