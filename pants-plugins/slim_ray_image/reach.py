"""Stage 2 of 6, first half: target -> the targets that its image reaches, and the imports among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Mapping, Sequence

from pants.backend.python.dependency_inference.module_mapper import PythonModuleOwnersRequest
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PythonSourceField
from pants.core.goals.package import PackageFieldSet
from pants.engine.addresses import Address
from pants.engine.target import (
    Dependencies,
    DependenciesRequest,
    FieldSetsPerTargetRequest,
    Target,
)

from slim_ray_image.compat import (
    concurrently,
    find_valid_field_sets,
    implicitly,
    map_module_to_address,
    python_imports,
    resolve_dependencies,
    resolve_targets,
    resolve_unparsed_address_inputs,
)
from slim_ray_image.core.closure.closure import ImportEdge
from slim_ray_image.packages import is_distribution


@dataclass(frozen=True)
class ReachedTargets:
    """The targets that an image reaches, by direct and transitive dependencies.

    Attributes:
        targets: Targets whose code is in the image, and the repository's own `python_distribution`s.
        packages: Targets that `pants package` can build, with the field set to build them: `python_distribution`s (also
            in `targets`) and packages that contain their own code, such as a `pex_binary`.
        dependencies: Address -> the addresses of its direct dependencies, for the image and for each target whose
            dependencies are followed.
    """

    targets: tuple[Target, ...]
    packages: Mapping[Target, PackageFieldSet]
    dependencies: Mapping[str, tuple[str, ...]]


async def _import_edges(
    target: Target, resolve: str, python_setup: PythonSetup
) -> tuple[ImportEdge, ...]:
    """Return the imports of one Python file whose modules a target owns, according to Pants' own inference."""
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


async def _direct_dependencies(field: Dependencies) -> tuple[Target, ...]:
    """Return a target's direct dependencies, inferred ones too; a target generator is replaced by its targets."""
    addresses = await resolve_dependencies(DependenciesRequest(field), **implicitly())
    return tuple(await resolve_targets(**implicitly(addresses)))


async def _package_field_sets(targets: Sequence[Target]) -> dict[Target, PackageFieldSet]:
    """Map each target that `pants package` can build to the set of its fields that the build reads."""
    found = await find_valid_field_sets(
        FieldSetsPerTargetRequest(PackageFieldSet, targets), **implicitly()
    )
    return {
        target: field_sets[0] for target, field_sets in zip(targets, found.collection) if field_sets
    }


async def reach(address: Address, field: Dependencies) -> ReachedTargets:
    """Follow an image's dependencies, but not beyond a package that contains its own, such as a `pex_binary`.

    Pants' transitive targets do not stop at packages, and would remove from the image everything that a package
    excludes with `!!`.
    """
    excludes = await resolve_unparsed_address_inputs(
        field.unevaluated_transitive_excludes, **implicitly()
    )
    excluded = {target.address for target in await resolve_targets(**implicitly(excludes))}
    pending = await _direct_dependencies(field)
    dependencies = {str(address): tuple(str(target.address) for target in pending)}
    seen: dict[Address, Target] = {}
    packages: dict[Target, PackageFieldSet] = {}
    while pending:
        new = tuple(
            target
            for target in dict.fromkeys(pending)
            if target.address not in seen and target.address not in excluded
        )
        seen.update((target.address, target) for target in new)
        field_sets = await _package_field_sets(new)
        packages.update(field_sets)
        followed = [t for t in new if t not in field_sets or is_distribution(t)]
        found = await concurrently(_direct_dependencies(t.get(Dependencies)) for t in followed)
        for target, direct in zip(followed, found):
            dependencies[str(target.address)] = tuple(str(d.address) for d in direct)
        pending = tuple(target for direct in found for target in direct)
    return ReachedTargets(
        tuple(t for t in seen.values() if t not in packages or is_distribution(t)),
        packages,
        dependencies,
    )


async def all_import_edges(
    targets: Iterable[Target], resolve: str, python_setup: PythonSetup
) -> tuple[ImportEdge, ...]:
    """Return the imports of all Python files among the targets, each with a target that owns the imported module."""
    by_source = await concurrently(
        _import_edges(target, resolve, python_setup)
        for target in targets
        if target.has_field(PythonSourceField)
    )
    return tuple(edge for edges in by_source for edge in edges)
