"""Stage 1 of 6: import paths -> addresses.

In: the `serve_app` or `entry_point` of a target. Out: the target that owns the module, as an inferred dependency, so
that every goal of Pants sees what the image is made of.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Collection, Iterable, Optional

from pants.backend.python.dependency_inference.module_mapper import PythonModuleOwnersRequest
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PythonResolveField, PythonSourceField
from pants.engine.addresses import Address, Addresses
from pants.engine.fs import PathGlobs
from pants.engine.internals.graph import OwnersRequest
from pants.engine.rules import collect_rules
from pants.engine.target import (
    DependenciesRequest,
    FieldSet,
    InferDependenciesRequest,
    InferredDependencies,
    Target,
)
from pants.engine.unions import UnionRule

from slim_ray_image.compat import (
    determine_explicitly_provided_dependencies,
    find_owners,
    get_digest_entries,
    implicitly,
    map_module_to_address,
    path_globs_to_digest,
    resolve_targets,
    rule,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.target_types import EntryPointField, ServeAppField, SlimRayImageDependencies


@dataclass(frozen=True)
class EntryFieldSet(FieldSet):
    """The fields that say what an image starts with."""

    required_fields = (ServeAppField, EntryPointField, SlimRayImageDependencies)

    serve_app: ServeAppField
    entry_point: EntryPointField
    dependencies: SlimRayImageDependencies
    resolve: PythonResolveField


@dataclass(frozen=True)
class EntryOwnerRequest:
    """A request for the target that owns what an image starts with."""

    field_set: EntryFieldSet


@dataclass(frozen=True)
class EntryOwner:
    """The target that owns what an image starts with.

    Attributes:
        address: None when there is no entry, or no one owner.
        named_by: The field and its value, for messages and reasons.
        source: The first-party file, relative to the build root; None for a module of a distribution.
        problem: Why there is no one owner; the whole message. Only what needs the image raises it, so that one wrong
            field does not break `pants list`.
    """

    address: Optional[Address]
    named_by: str
    source: Optional[str] = None
    problem: Optional[str] = None


def _owns_module(target: Target, module: str) -> bool:
    """Whether `target` is `module` itself.

    Pants also names the owner of the parent, for `from parent import name`, and that of a type stub.
    """
    if not target.has_field(PythonSourceField):
        return True
    path, stem = target[PythonSourceField].file_path, "/" + module.replace(".", "/")
    return f"/{path}".endswith((f"{stem}.py", f"{stem}/__init__.py"))


def _describe(targets: Iterable[Target], python_setup: PythonSetup) -> list[str]:
    return sorted(
        f"{target.address} (resolve {target[PythonResolveField].normalized_value(python_setup)!r})"
        for target in targets
        if target.has_field(PythonResolveField)
    )


def _no_owner(
    address: Address, named_by: str, what: str, root: str, resolve: str, elsewhere: list[str]
) -> SlimRayImageError:
    if elsewhere:
        return SlimRayImageError(
            f"No target in the resolve {resolve!r} owns {what}, so it cannot go into the image {address}. "
            f"It is named by {named_by}. Another resolve has it:",
            evidence=elsewhere,
            fixes=[
                f"set `resolve` on {address} to that of the owner",
                f"give the owner `resolve={resolve!r}`",
            ],
        )
    return SlimRayImageError(
        f"No target owns {what}, so it cannot go into the image {address}.",
        evidence=[f"it is named by {named_by}", f"looked in the resolve {resolve!r}"],
        fixes=[
            f"correct {named_by}, a path from {root}",
            "run `pants tailor ::` to create a target for the file",
        ],
    )


def _no_file(address: Address, named_by: str, path: str, beside: list[str]) -> SlimRayImageError:
    folder = os.path.dirname(path) or "the build root"
    return SlimRayImageError(
        f"There is no file {path}, which {named_by} of the image {address} names.",
        evidence=[f"{folder} has {', '.join(beside) or 'no Python file'}"],
        fixes=[f"correct {named_by}, a path from the folder of the BUILD file"],
    )


def _ambiguous(address: Address, named_by: str, what: str, owners: list[str]) -> SlimRayImageError:
    return SlimRayImageError(
        f"More than one target owns {what}, which {named_by} of the image {address} names:",
        evidence=owners,
        fixes=[
            f"add the one you mean to the `dependencies` of {address}",
            "exclude the others there, with a leading `!`",
        ],
    )


async def _module_owners(module: str, resolve: Optional[str]) -> tuple[Target, ...]:
    owners = await map_module_to_address(
        PythonModuleOwnersRequest(module, resolve=resolve), **implicitly()
    )
    targets = await resolve_targets(
        **implicitly(Addresses([*owners.unambiguous, *owners.ambiguous]))
    )
    return tuple(target for target in targets if _owns_module(target, module))


def _file_path(address: Address, file: str) -> str:
    return os.path.normpath(os.path.join(address.spec_path, file))


async def _file_owners(path: str) -> tuple[Target, ...]:
    """The targets of a file; of one that is not there Pants names all targets of the folder."""
    owners = await find_owners(OwnersRequest((path,)), **implicitly())
    targets = await resolve_targets(**implicitly(Addresses(owners)))
    return tuple(
        target
        for target in targets
        if target.has_field(PythonSourceField) and target[PythonSourceField].file_path == path
    )


async def _is_file(path: str) -> bool:
    tree = await path_globs_to_digest(PathGlobs([path]))
    return bool(await get_digest_entries(tree))


async def _python_files_in(folder: str) -> list[str]:
    tree = await path_globs_to_digest(PathGlobs([os.path.join(folder, "*.py")]))
    return sorted(os.path.basename(entry.path) for entry in await get_digest_entries(tree))


def _is_among(address: Address, addresses: Collection[Address]) -> bool:
    return address in addresses or address.maybe_convert_to_target_generator() in addresses


async def _chosen(field_set: EntryFieldSet, owners: tuple[Target, ...]) -> tuple[Target, ...]:
    """Those of several owners that the image's `dependencies` name, or else do not exclude."""
    explicit = await determine_explicitly_provided_dependencies(
        **implicitly(DependenciesRequest(field_set.dependencies))
    )
    left = tuple(owner for owner in owners if not _is_among(owner.address, explicit.ignores))
    named = tuple(owner for owner in left if _is_among(owner.address, explicit.includes))
    return named or left or owners


@rule(desc="Find the owner of what an image starts with")
async def find_entry_owner(request: EntryOwnerRequest, python_setup: PythonSetup) -> EntryOwner:
    """Return the owner, or the problem; re-runs when a file or a target comes, goes or moves."""
    field_set = request.field_set
    resolve = field_set.resolve.normalized_value(python_setup)
    import_path, entry_point = field_set.serve_app.import_path, field_set.entry_point.entry_point
    if import_path:
        named_by = f"`serve_app` {str(import_path)!r}"
        module, file = import_path.module, ""
    elif entry_point:
        module, file = entry_point.module or "", entry_point.file or ""
        named_by = f"`entry_point` {field_set.entry_point.value!r}"
    else:
        return EntryOwner(None, "`dependencies`")
    path = _file_path(field_set.address, file)
    if file:
        what, root = f"the file {path}", "the folder of the BUILD file"
        everywhere = await _file_owners(path)
        owners = tuple(
            target
            for target in everywhere
            if target[PythonResolveField].normalized_value(python_setup) == resolve
        )
    else:
        what, root = f"the module {module}", "a source root"
        owners = await _module_owners(module, resolve)
        everywhere = owners or await _module_owners(module, None)
    if len(owners) > 1:
        owners = await _chosen(field_set, owners)
    if len(owners) == 1:
        (owner,) = owners
        source = owner[PythonSourceField].file_path if owner.has_field(PythonSourceField) else None
        return EntryOwner(owner.address, named_by, source)
    address = field_set.address
    if owners:
        error = _ambiguous(address, named_by, what, _describe(owners, python_setup))
    elif file and not await _is_file(path):
        error = _no_file(address, named_by, path, await _python_files_in(os.path.dirname(path)))
    else:
        elsewhere = _describe(everywhere, python_setup)
        error = _no_owner(address, named_by, what, root, resolve, elsewhere)
    return EntryOwner(None, named_by, problem=str(error))


class InferSlimRayImageDependencies(InferDependenciesRequest):
    infer_from = EntryFieldSet


@rule(desc="Infer what a slim_ray_image starts with")
async def infer_slim_ray_image_dependencies(
    request: InferSlimRayImageDependencies,
) -> InferredDependencies:
    owner = await find_entry_owner(EntryOwnerRequest(request.field_set), **implicitly())
    return InferredDependencies([owner.address] if owner.address else [])


def rules() -> Iterable[Any]:
    return [
        *collect_rules(),
        UnionRule(InferDependenciesRequest, InferSlimRayImageDependencies),
    ]
