"""Stage 3 of 6: requirement strings + lockfile + platform -> installed distributions, packed as a PEX.

Two cached processes: the subset of the lock, keyed by the lock and the requirement strings; and the pack, keyed by
that exact subset. A third, keyed by them alone, packs the wheels of the repository's own distributions. The packed PEX
has one entry a distribution, whose bytes are the same in every service.
Where a distribution of the subset has to be built, Pants' own PEX rules do it, and what they pack is packed anew.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

from packaging.utils import canonicalize_name
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PexLayout
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import PexRequest
from pants.backend.python.util_rules.pex_requirements import PexRequirements, Resolve
from pants.engine.addresses import Address
from pants.engine.fs import (
    CreateDigest,
    Digest,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
    PathGlobs,
)
from pants.engine.rules import collect_rules
from pants.util.frozendict import FrozenDict

from slim_ray_image.compat import (
    create_digest,
    create_pex,
    get_digest_contents,
    get_digest_entries,
    merge_digests,
    path_globs_to_digest,
    rule,
)
from slim_ray_image.core.closure import ClosureWheel
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.layers import Distribution, distributions_from_json
from slim_ray_image.network import NetworkSettings
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.tools import (
    BaseInterpreter,
    BaseTools,
    read_output,
    run_on_base,
)

logger = logging.getLogger(__name__)

_LOCKFILE = "lockfile"
_SUBSET = "subset.txt"
_TO_BUILD = "built.json"
_BUILT_PEX = "built.pex"
_INVENTORY = "inventory.json"
_DEPS = "requirements.pex/.deps"


@dataclass(frozen=True)
class PackRequest:
    """A request for the distributions that some requirements need."""

    address: Address
    requirements: tuple[str, ...]  # PEP 508, sorted
    added_extras: tuple[
        str, ...
    ]  # those that no requirement of the repository names, with their reasons, for errors
    resolve: str
    base_reference: str
    interpreter: BaseInterpreter
    tools: BaseTools


@dataclass(frozen=True)
class PackWheelsRequest:
    """A request for the repository's own distributions."""

    wheels: tuple[ClosureWheel, ...]
    tree: Digest  # the wheels, at their paths
    interpreter: BaseInterpreter
    tools: BaseTools


@dataclass(frozen=True)
class PackedDistributions:
    """The distributions of a packed PEX."""

    distributions: tuple[Distribution, ...]
    files: FrozenDict[str, FileDigest]  # entry of `.deps` -> its content

    def with_others(self, others: PackedDistributions) -> PackedDistributions:
        """Return these and those of another PEX, sorted by name."""
        return PackedDistributions(
            tuple(sorted((*self.distributions, *others.distributions), key=lambda d: d.name)),
            FrozenDict({**self.files, **others.files}),
        )


async def _read_lockfile(request: PackRequest, python_setup: PythonSetup) -> FileContent:
    path = python_setup.resolves[request.resolve]
    tree = await path_globs_to_digest(PathGlobs([path]))
    contents = await get_digest_contents(tree)
    if not contents:
        raise SlimRayImageError(
            f"The lockfile {path} of resolve {request.resolve!r}, which {request.address} needs, does not exist.",
            fixes=[
                "create it, as with `uv pip compile --universal --generate-hashes`",
                "correct `[python].resolves`",
            ],
        )
    return FileContent(_LOCKFILE, contents[0].content)


def _platform_request(interpreter: BaseInterpreter, network: NetworkSettings) -> Mapping[str, Any]:
    return {
        "uv": "uv/uv",
        "platform": interpreter.platform,
        "python_version": interpreter.python_version,
        "glibc": interpreter.glibc,
        **network.to_json(),
    }


async def _read_packed(tree: Digest) -> PackedDistributions:
    inventory = await read_output(tree, _INVENTORY)
    entries = await get_digest_entries(tree)
    return PackedDistributions(
        distributions_from_json(json.loads(inventory)),
        FrozenDict(
            {
                entry.path[len(_DEPS) + 1 :]: entry.file_digest
                for entry in entries
                if isinstance(entry, FileEntry) and entry.path.startswith(f"{_DEPS}/")
            }
        ),
    )


def _origin(
    request: PackRequest, python_setup: PythonSetup, subsystem: SlimRayImageSubsystem
) -> Mapping[str, Any]:
    """What errors name, and what may be built."""
    names = subsystem.host_built_distributions
    return {
        "added_extras": request.added_extras,
        "address": str(request.address),
        "base": request.base_reference,
        "host_built": sorted({canonicalize_name(name) for name in names}),
        "lockfile_path": python_setup.resolves[request.resolve],
    }


async def _find_subset(
    request: PackRequest,
    origin: Mapping[str, Any],
    network: NetworkSettings,
    python_setup: PythonSetup,
) -> Digest:
    """The subset of the lock and, where something is to be built, what that is."""
    interpreter = request.interpreter
    lockfile = await _read_lockfile(request, python_setup)
    lock_tree = await create_digest(CreateDigest([lockfile]))
    result = await run_on_base(
        "subset_lock",
        {
            **origin,
            "lockfile": _LOCKFILE,
            "marker_environment": dict(interpreter.marker_environment),
            "requirements": request.requirements,
            "resolve": request.resolve,
            **_platform_request(interpreter, network),
        },
        interpreter,
        request.tools,
        inputs=await merge_digests(MergeDigests([lock_tree, network.tree])),
        output_files=(_SUBSET, _TO_BUILD),
        description=f"Find what {request.address} needs in {origin['lockfile_path']}",
        uses_uv=True,
    )
    return result.output_digest


async def _pack_subset(request: PackRequest, subset: Digest, network: NetworkSettings) -> Digest:
    """The wheels of the subset, installed by uv and packed; keyed by the subset, not by who needs it."""
    result = await run_on_base(
        "pack",
        {"subset": _SUBSET, **_platform_request(request.interpreter, network)},
        request.interpreter,
        request.tools,
        inputs=await merge_digests(MergeDigests([subset, network.tree])),
        output_files=(_INVENTORY,),
        output_directories=(_DEPS,),
        description=f"Install and pack the distributions of {request.address}",
        uses_uv=True,
    )
    return result.output_digest


def _requirements_of_pants(request: PackRequest, is_pex_lock: bool, subset: Digest) -> dict:
    """Return how a PEX is told what it holds.

    Of a Pex lock, Pants takes the part that it needs. Of a pip-style lock it would install the whole, so it is given
    the exact subset.
    """
    if not is_pex_lock:
        arguments = ("--requirement", _SUBSET, "--no-transitive")
        return {"additional_inputs": subset, "additional_args": arguments}
    return {
        "requirements": PexRequirements(
            request.requirements,
            from_superset=Resolve(request.resolve, use_entire_lockfile=False),
            description_of_origin=str(request.address),
        )
    }


async def _pack_built(
    request: PackRequest, is_pex_lock: bool, subset: Digest, origin: Mapping[str, Any]
) -> Digest:
    """The distributions as Pants' own PEX rules build and pack them, packed anew."""
    interpreter = request.interpreter
    built = await create_pex(
        PexRequest(
            output_filename=_BUILT_PEX,
            internal_only=False,
            layout=PexLayout.PACKED,
            interpreter_constraints=InterpreterConstraints(
                [f"CPython=={interpreter.python_minor}.*"]
            ),
            description=f"Build the distributions of {request.address} by Pants' own PEX rules",
            **_requirements_of_pants(request, is_pex_lock, subset),
        )
    )
    result = await run_on_base(
        "repack",
        {
            "pex": _BUILT_PEX,
            "glibc": interpreter.glibc,
            "platform": interpreter.platform,
            "python_version": interpreter.python_minor,
            **origin,
        },
        interpreter,
        request.tools,
        inputs=built.digest,
        output_files=(_INVENTORY,),
        output_directories=(_DEPS,),
        description=f"Pack the distributions of {request.address}",
    )
    return result.output_digest


def _warn_of_builds(address: Address, built: Sequence[str]) -> None:
    has, is_built = ("has", "is") if len(built) == 1 else ("have", "are")
    logger.warning(
        f"The distributions of {address} are packed by Pants' own PEX rules, since {' and '.join(built)} {has} "
        f"no wheel and {is_built} built on this machine."
    )


@rule(desc="Pack the distributions of a slim_ray_image")
async def pack_distributions(
    request: PackRequest,
    python_setup: PythonSetup,
    network: NetworkSettings,
    subsystem: SlimRayImageSubsystem,
) -> PackedDistributions:
    """The packed distributions; re-runs when the requirements, the lock, the base or the tools change."""
    origin = _origin(request, python_setup, subsystem)
    subset = await _find_subset(request, origin, network, python_setup)
    contents = await get_digest_contents(subset)
    to_build = next((json.loads(file.content) for file in contents if file.path == _TO_BUILD), None)
    if to_build:
        _warn_of_builds(request.address, to_build["built"])
        packed = await _pack_built(request, to_build["is_pex_lock"], subset, origin)
    else:
        packed = await _pack_subset(request, subset, network)
    return await _read_packed(packed)


@rule(desc="Pack the repository's own distributions")
async def pack_wheels(request: PackWheelsRequest, network: NetworkSettings) -> PackedDistributions:
    """The packed wheels; an edit of one does not install again what is locked."""
    names = ", ".join(wheel.name for wheel in request.wheels)
    packed = await run_on_base(
        "pack_wheels",
        {
            "wheels": [
                {"path": wheel.path, "name": wheel.name, "version": wheel.version}
                for wheel in request.wheels
            ],
            **_platform_request(request.interpreter, network),
        },
        request.interpreter,
        request.tools,
        inputs=await merge_digests(MergeDigests([request.tree, network.tree])),
        output_files=(_INVENTORY,),
        output_directories=(_DEPS,),
        description=f"Install and pack {names} of this repository",
        uses_uv=True,
    )
    return await _read_packed(packed.output_digest)


def rules() -> Iterable[Any]:
    return collect_rules()
