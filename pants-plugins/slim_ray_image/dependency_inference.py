"""Stage 1 of 6: import paths -> addresses.

In: the `serve_app` or `entry_point` of a target. Out: the target that owns the module, as an inferred dependency, so
that every goal of Pants sees what the image is made of.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterable, Optional

from pants.backend.python.dependency_inference.module_mapper import PythonModuleOwnersRequest
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PythonResolveField, PythonSourceField
from pants.engine.addresses import Address, Addresses
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
    implicitly,
    map_module_to_address,
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
    """Whether `target` is `module` itself: Pants also names the owner of the parent, for `from parent import name`."""
    if not target.has_field(PythonSourceField):
        return True
    path = target[PythonSourceField].file_path
    stem = path[: -len("/__init__.py")] if path.endswith("/__init__.py") else os.path.splitext(path)[0]
    return f"/{stem}".endswith("/" + module.replace(".", "/"))


def _describe(targets: Iterable[Target], python_setup: PythonSetup) -> list[str]:
    return sorted(
        f"{target.address} (resolve {target[PythonResolveField].normalized_value(python_setup)!r})"
        for target in targets
        if target.has_field(PythonResolveField)
    )


def _no_owner(
    address: Address, named_by: str, what: str, resolve: str, elsewhere: list[str]
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
            f"correct {named_by}, a path from a source root",
            "run `pants tailor` to create a target for the file",
        ],
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


async def _module_owners(
    field_set: EntryFieldSet, module: str, resolve: Optional[str]
) -> tuple[Target, ...]:
    """The owner of `module`, or several of which explicit dependencies choose none."""
    owners = await map_module_to_address(
        PythonModuleOwnersRequest(module, resolve=resolve), **implicitly()
    )
    addresses = owners.unambiguous
    if owners.ambiguous:
        explicit = await determine_explicitly_provided_dependencies(
            **implicitly(DependenciesRequest(field_set.dependencies))
        )
        chosen = explicit.disambiguated(owners.ambiguous)
        addresses = (chosen,) if chosen else owners.ambiguous
    targets = await resolve_targets(**implicitly(Addresses(addresses)))
    return tuple(target for target in targets if _owns_module(target, module))


async def _file_owners(field_set: EntryFieldSet, file: str) -> tuple[Target, ...]:
    path = os.path.join(field_set.address.spec_path, file)
    owners = await find_owners(OwnersRequest((path,)), **implicitly())
    targets = await resolve_targets(**implicitly(Addresses(owners)))
    return tuple(target for target in targets if target.has_field(PythonSourceField))


@rule(desc="Find the owner of what an image starts with")
async def find_entry_owner(request: EntryOwnerRequest, python_setup: PythonSetup) -> EntryOwner:
    """Return the owner, or the problem; re-runs when a file or a target comes, goes or moves."""
    field_set = request.field_set
    resolve = field_set.resolve.normalized_value(python_setup)
    import_path, entry_point = field_set.serve_app.import_path, field_set.entry_point.entry_point
    if import_path:
        named_by, module, file = f"`serve_app` {str(import_path)!r}", import_path.module, None
    elif entry_point:
        named_by, module, file = (
            f"`entry_point` {field_set.entry_point.value!r}",
            entry_point.module,
            entry_point.file,
        )
    else:
        return EntryOwner(None, "`dependencies`")
    if file:
        what = f"the file {os.path.join(field_set.address.spec_path, file)}"
        everywhere = await _file_owners(field_set, file)
        owners = tuple(
            target
            for target in everywhere
            if target[PythonResolveField].normalized_value(python_setup) == resolve
        )
    else:
        what = f"the module {module}"
        owners = await _module_owners(field_set, str(module), resolve)
        everywhere = owners or await _module_owners(field_set, str(module), None)
    implementations = tuple(
        target
        for target in owners
        if not target.has_field(PythonSourceField)
        or target[PythonSourceField].file_path.endswith(".py")
    )
    if len(implementations) == 1:
        (owner,) = implementations
        source = owner[PythonSourceField].file_path if owner.has_field(PythonSourceField) else None
        return EntryOwner(owner.address, named_by, source)
    described = _describe(everywhere, python_setup)
    error = (
        _ambiguous(field_set.address, named_by, what, described)
        if implementations
        else _no_owner(field_set.address, named_by, what, resolve, described)
    )
    return EntryOwner(None, named_by, problem=str(error))


class InferSlimRayImageDependencies(InferDependenciesRequest):
    infer_from = EntryFieldSet


@rule(desc="Infer what a slim_ray_image starts with")
async def infer_slim_ray_image_dependencies(
    request: InferSlimRayImageDependencies,
) -> InferredDependencies:
    owner = await find_entry_owner(EntryOwnerRequest(request.field_set), **implicitly())
    return InferredDependencies([owner.address] if owner.address else [])


def rules():
    return [
        *collect_rules(),
        UnionRule(InferDependenciesRequest, InferSlimRayImageDependencies),
    ]
