"""Stage 3 of 6: requirement strings + lockfile + platform -> installed distributions, packed as a PEX.

Two cached processes: the subset of the lock, keyed by the lock and the requirement strings; and the pack, keyed by
that exact subset. A third, keyed by them alone, packs the wheels of the repository's own distributions. The packed PEX
has one entry a distribution, whose bytes are the same in every service.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from pants.backend.python.subsystems.setup import PythonSetup
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
from slim_ray_image.tools import (
    BaseInterpreter,
    BaseTools,
    read_output,
    run_on_base,
)

_LOCKFILE = "lockfile"
_SUBSET = "subset.txt"
_DEPS = "requirements.pex/.deps/"


@dataclass(frozen=True)
class PackRequest:
    """A request for the distributions that some requirements need."""

    address: Address
    requirements: tuple[str, ...]  # PEP 508, sorted
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
    inventory = await read_output(tree, "inventory.json")
    entries = await get_digest_entries(tree)
    return PackedDistributions(
        distributions_from_json(json.loads(inventory)),
        FrozenDict(
            {
                entry.path[len(_DEPS) :]: entry.file_digest
                for entry in entries
                if isinstance(entry, FileEntry) and entry.path.startswith(_DEPS)
            }
        ),
    )


@rule(desc="Pack the distributions of a slim_ray_image")
async def pack_distributions(
    request: PackRequest, python_setup: PythonSetup, network: NetworkSettings
) -> PackedDistributions:
    """The packed distributions; re-runs when the requirements, the lock, the base or the tools change."""
    interpreter, tools = request.interpreter, request.tools
    platform_request = _platform_request(interpreter, network)
    lockfile = await _read_lockfile(request, python_setup)
    lock_tree = await create_digest(CreateDigest([lockfile]))
    subset = await run_on_base(
        "subset_lock",
        {
            "address": str(request.address),
            "base": request.base_reference,
            "lockfile": _LOCKFILE,
            "lockfile_path": python_setup.resolves[request.resolve],
            "marker_environment": dict(interpreter.marker_environment),
            "requirements": request.requirements,
            "resolve": request.resolve,
            **platform_request,
        },
        interpreter,
        tools,
        inputs=await merge_digests(MergeDigests([lock_tree, network.tree])),
        output_files=(_SUBSET,),
        description=f"Find what {request.address} needs in {python_setup.resolves[request.resolve]}",
        uses_uv=True,
    )
    packed = await run_on_base(
        "pack",
        {"subset": _SUBSET, **platform_request},
        interpreter,
        tools,
        inputs=await merge_digests(MergeDigests([subset.output_digest, network.tree])),
        output_files=("inventory.json",),
        output_directories=("requirements.pex/.deps",),
        description=f"Install and pack the distributions of {request.address}",
        uses_uv=True,
    )
    return await _read_packed(packed.output_digest)


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
        output_files=("inventory.json",),
        output_directories=("requirements.pex/.deps",),
        description=f"Install and pack {names} of this repository",
        uses_uv=True,
    )
    return await _read_packed(packed.output_digest)


def rules() -> Iterable[Any]:
    return collect_rules()
