"""Stage 1 of 6: modules and files that an image starts with -> addresses of the targets that own them.

In: the `serve_app`, `serve_config` or `entry_point` of a target. Out: the targets that own the modules, as inferred
dependencies, so that every goal of Pants sees the image's code.
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
    concurrently,
    determine_explicitly_provided_dependencies,
    find_owners,
    get_digest_entries,
    implicitly,
    map_module_to_address,
    path_globs_to_digest,
    resolve_targets,
    rule,
)
from slim_ray_image.core.errors import Problem
from slim_ray_image.core.serve.import_paths import EntryPoint, ImportPath
from slim_ray_image.core.serve.serve_config import ImageConfig
from slim_ray_image.serve_config import config_request, load_image_config
from slim_ray_image.target_types import (
    EntryPointField,
    ServeAppField,
    ServeApplicationField,
    ServeConfigField,
    SlimRayImageDependencies,
)


@dataclass(frozen=True)
class EntryFieldSet(FieldSet):
    """The fields that name the modules and files that an image starts with."""

    required_fields = (ServeAppField, EntryPointField, SlimRayImageDependencies)

    serve_app: ServeAppField
    serve_config: ServeConfigField
    serve_application: ServeApplicationField
    entry_point: EntryPointField
    dependencies: SlimRayImageDependencies
    resolve: PythonResolveField


@dataclass(frozen=True)
class EntryOwnersRequest:
    """A request for the targets that own the modules and files that an image starts with."""

    field_set: EntryFieldSet


@dataclass(frozen=True)
class EntryOwner:
    """The target that owns one module or file that an image starts with.

    Attributes:
        address: None if there is not exactly one owner.
        named_by: The field and its value, or the application and its line; for messages and reasons.
        module: "" for a file beside the BUILD file.
        source: Path of the first-party file, relative to the build root; None for a module of a distribution.
        import_path: Import path, if the module is a Serve application's.
        problem: Reason why there is not exactly one owner. Only a goal that needs the image raises the problem, so that
            one wrong field does not break `pants list`.
    """

    address: Optional[Address]
    named_by: str
    module: str
    source: Optional[str] = None
    import_path: Optional[ImportPath] = None
    problem: Optional[Problem] = None


@dataclass(frozen=True)
class EntryOwners:
    """The targets that own the modules and files that an image starts with; none if only `dependencies` is set.

    Attributes:
        config: Content of the file that `serve_config` names.
        problems: Problems of the file, then problems of the owners.
    """

    owners: tuple[EntryOwner, ...]
    config: Optional[ImageConfig] = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class _Entry:
    """A module, or a file beside the BUILD file, that an image starts with.

    Attributes:
        is_run: Whether `python -m` runs the module; it runs a package's `__main__`.
        script: The end of the file's path, if the image runs the module by path.
    """

    named_by: str
    module: str
    file: str = ""
    import_path: Optional[ImportPath] = None
    is_run: bool = False
    script: Optional[str] = None


def _application_entry(named_by: str, import_path: ImportPath) -> _Entry:
    return _Entry(named_by, import_path.module, import_path=import_path)


def _program_entry(named_by: str, entry_point: EntryPoint) -> _Entry:
    return _Entry(
        named_by,
        entry_point.module or "",
        entry_point.file or "",
        is_run=not entry_point.script,
        script=entry_point.script,
    )


def _entries(field_set: EntryFieldSet, config: Optional[ImageConfig]) -> tuple[_Entry, ...]:
    """Return the modules and files that an image starts with, as its fields or the file of `serve_config` name them."""
    import_path, entry_point = field_set.serve_app.import_path, field_set.entry_point.entry_point
    if import_path:
        return (_application_entry(f"`serve_app` {str(import_path)!r}", import_path),)
    if entry_point:
        return (_program_entry(f"`entry_point` {field_set.entry_point.value!r}", entry_point),)
    if config and config.entry_point:
        return (_program_entry(config.named_by, config.entry_point),)
    if not config or not config.serve:
        return ()
    return (
        *(_application_entry(a.named_by, a.import_path) for a in config.serve.applications),
        *(_Entry(named.named_by, named.module) for named in config.serve.modules),
    )


def _is_at(target: Target, path: str) -> bool:
    """Return whether the path of a target's Python file ends with this path, which is relative to a source root."""
    own = target[PythonSourceField].file_path if target.has_field(PythonSourceField) else ""
    return f"/{own}".endswith(f"/{path}")


def _is_package(target: Target, module: str) -> bool:
    return _is_at(target, f"{module.replace('.', '/')}/__init__.py")


def _owns_module(target: Target, module: str) -> bool:
    """Return whether a target's Python file is exactly this module; true for a requirement, which has no such file.

    Pants also returns the owner of the parent module, for `from parent import name`, and the owner of a type stub.
    """
    if not target.has_field(PythonSourceField):
        return True
    return _is_at(target, f"{module.replace('.', '/')}.py") or _is_package(target, module)


def _describe(targets: Iterable[Target], python_setup: PythonSetup) -> list[str]:
    return sorted(
        f"{target.address} (resolve {target[PythonResolveField].normalized_value(python_setup)!r})"
        for target in targets
        if target.has_field(PythonResolveField)
    )


def _no_owner(
    address: Address, named_by: str, what: str, root: str, resolve: str, elsewhere: list[str]
) -> Problem:
    if elsewhere:
        return Problem(
            f"No target in the resolve {resolve!r} owns {what}, so it cannot go into the image {address}. "
            f"It is named by {named_by}. Another resolve has it:",
            tuple(elsewhere),
            (
                f"set `resolve` on {address} to the owner's resolve",
                f"set `resolve={resolve!r}` on the owner",
            ),
        )
    return Problem(
        f"No target owns {what}, so it cannot go into the image {address}.",
        (f"it is named by {named_by}", f"looked in the resolve {resolve!r}"),
        (
            f"correct {named_by}, a path from {root}",
            "run `pants tailor ::` to create a target for the file",
        ),
    )


def _no_file(address: Address, named_by: str, path: str, beside: list[str]) -> Problem:
    folder = os.path.dirname(path) or "the build root"
    return Problem(
        f"There is no file {path}, which {named_by} of the image {address} names.",
        (f"{folder} has {', '.join(beside) or 'no Python file'}",),
        (f"correct {named_by}, a path from the folder of the BUILD file",),
    )


def _ambiguous(address: Address, named_by: str, what: str, owners: list[str]) -> Problem:
    return Problem(
        f"More than one target owns {what}, which {named_by} of the image {address} names:",
        tuple(owners),
        (
            f"add the one you mean to the `dependencies` of {address}",
            "exclude the others there, with a leading `!`",
        ),
    )


async def module_owners(module: str, resolve: Optional[str]) -> tuple[Target, ...]:
    """Return the targets that own exactly this module; for a module of a distribution, the requirement's targets."""
    owners = await map_module_to_address(
        PythonModuleOwnersRequest(module, resolve=resolve), **implicitly()
    )
    targets = await resolve_targets(
        **implicitly(Addresses([*owners.unambiguous, *owners.ambiguous]))
    )
    return tuple(target for target in targets if _owns_module(target, module))


async def _run_module(entry: _Entry, resolve: Optional[str]) -> str:
    """Return the module that an image really runs: for a package that `python -m` runs, the package's `__main__`."""
    if not entry.is_run:
        return entry.module
    owners = await module_owners(entry.module, resolve)
    if not all(_is_package(owner, entry.module) for owner in owners):
        return entry.module
    main = f"{entry.module}.__main__"
    return main if owners or await module_owners(main, resolve) else entry.module


async def _entry_owners(
    module: str, script: Optional[str], resolve: Optional[str]
) -> tuple[Target, ...]:
    """Return the targets that own a module, or, for a script that is run by path, the owners of exactly this file."""
    owners = await module_owners(module, resolve)
    return tuple(o for o in owners if script is None or _is_at(o, script))


def _file_path(address: Address, file: str) -> str:
    return os.path.normpath(os.path.join(address.spec_path, file))


async def _file_owners(path: str) -> tuple[Target, ...]:
    """Return the targets that own a Python file; none if there is no such file (Pants would return the folder's)."""
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
    """Choose among a module's owners: those that `dependencies` names, else those it does not exclude, else all."""
    explicit = await determine_explicitly_provided_dependencies(
        **implicitly(DependenciesRequest(field_set.dependencies))
    )
    left = tuple(owner for owner in owners if not _is_among(owner.address, explicit.ignores))
    named = tuple(owner for owner in left if _is_among(owner.address, explicit.includes))
    return named or left or owners


async def _find_owner(
    field_set: EntryFieldSet, entry: _Entry, python_setup: PythonSetup
) -> EntryOwner:
    resolve = field_set.resolve.normalized_value(python_setup)
    address, named_by = field_set.address, entry.named_by
    path = _file_path(address, entry.file)
    if entry.file:
        what, root = f"the file {path}", "the folder of the BUILD file"
        everywhere = await _file_owners(path)
        owners = tuple(
            target
            for target in everywhere
            if target[PythonResolveField].normalized_value(python_setup) == resolve
        )
    else:
        module = await _run_module(entry, resolve)
        what, root = f"the module {module}", "a source root"
        owners = await _entry_owners(module, entry.script, resolve)
        everywhere = owners or await _entry_owners(module, entry.script, None)
    if len(owners) > 1:
        owners = await _chosen(field_set, owners)
    if len(owners) == 1:
        (owner,) = owners
        source = owner[PythonSourceField].file_path if owner.has_field(PythonSourceField) else None
        return EntryOwner(owner.address, named_by, entry.module, source, entry.import_path)
    if owners:
        problem = _ambiguous(address, named_by, what, _describe(owners, python_setup))
    elif entry.file and not await _is_file(path):
        problem = _no_file(address, named_by, path, await _python_files_in(os.path.dirname(path)))
    else:
        elsewhere = _describe(everywhere, python_setup)
        problem = _no_owner(address, named_by, what, root, resolve, elsewhere)
    return EntryOwner(None, named_by, entry.module, import_path=entry.import_path, problem=problem)


@rule(desc="Find the targets that an image starts with")
async def find_entry_owners(request: EntryOwnersRequest, python_setup: PythonSetup) -> EntryOwners:
    """Return the targets that own the modules and files that an image starts with, or the problems in finding them."""
    field_set, config = request.field_set, None
    of_config = config_request(field_set.serve_config, field_set.serve_application)
    if of_config:
        loaded = await load_image_config(of_config, **implicitly())
        if loaded.config is None:
            return EntryOwners((), problems=loaded.problems)
        config = loaded.config
    owners = await concurrently(
        _find_owner(field_set, entry, python_setup) for entry in _entries(field_set, config)
    )
    problems = (config.problem if config else None, *(owner.problem for owner in owners))
    return EntryOwners(owners, config, tuple(problem for problem in problems if problem))


class InferSlimRayImageDependencies(InferDependenciesRequest):
    infer_from = EntryFieldSet


@rule(desc="Infer the dependencies of a slim_ray_image")
async def infer_slim_ray_image_dependencies(
    request: InferSlimRayImageDependencies,
) -> InferredDependencies:
    found = await find_entry_owners(EntryOwnersRequest(request.field_set), **implicitly())
    addresses = {owner.address for owner in found.owners if owner.address}
    return InferredDependencies(sorted(addresses))


def rules() -> Iterable[Any]:
    return [
        *collect_rules(),
        UnionRule(InferDependenciesRequest, InferSlimRayImageDependencies),
    ]
