"""Stage 3 of 6: requirement strings + lockfile + platform -> the wheels of an image, and their content.

One process selects the needed part of the lock, cached by the lock and the requirement strings. Wheels are fetched and
described in small batches, by processes that are cached by the batch, not by the service that needs the wheels. If a
distribution has no wheel, Pants' own PEX rules build it, and the result is used like a fetched wheel.
"""

from __future__ import annotations

import logging
import posixpath
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PexLayout
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import PexRequest
from pants.backend.python.util_rules.pex_requirements import PexRequirements, Resolve
from pants.engine.addresses import Address
from pants.engine.fs import (
    CreateDigest,
    Digest,
    DigestSubset,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
    PathGlobs,
)
from pants.engine.process import FallibleProcessResult, ProcessResultMetadata
from pants.engine.rules import collect_rules
from pants.util.frozendict import FrozenDict

from slim_ray_image.compat import (
    concurrently,
    create_digest,
    create_pex,
    digest_subset_to_digest,
    get_digest_contents,
    get_digest_entries,
    implicitly,
    merge_digests,
    path_globs_to_digest,
    rule,
)
from slim_ray_image.core.closure.closure import ClosureWheel
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.folders import WHEELS
from slim_ray_image.core.image_paths import site_packages_of
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.wheels.distributions import Distribution, distributions_of
from slim_ray_image.core.wheels.repack_request import BUILT, RepackRequest
from slim_ray_image.core.wheels.subset import SubsetRequest
from slim_ray_image.core.wheels.uv_call import UvCall
from slim_ray_image.core.wheels.wheel_batches import batches
from slim_ray_image.core.wheels.wheel_tags import is_built_on_host, rank_of
from slim_ray_image.core.wheels.wheels import (
    DescribeRequest,
    DescribeResult,
    FetchRequest,
    FetchResult,
    LockedWheel,
    LockedWheels,
    WheelFacts,
)
from slim_ray_image.core.wire import from_json
from slim_ray_image.network import NetworkSettings
from slim_ray_image.sandbox.wheels.fetch_wheels import WHEEL_CACHE
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.tools import (
    UV,
    BaseInterpreter,
    BaseTools,
    read_output,
    run_on_base,
    run_on_host,
)

logger = logging.getLogger(__name__)

_LOCKFILE = "lockfile"
_LOCKED = "wheels.json"
_TO_BUILD = "built.txt"
_BUILT_PEX = "built.pex"


@dataclass(frozen=True)
class WheelsRequest:
    """A request for the wheels that requirements need, and for the wheels of the monorepo's own distributions."""

    address: Address
    requirements: tuple[str, ...]  # PEP 508, sorted
    # Extras of Ray that no requirement of the repository names, with their reasons, for errors.
    added_extras: tuple[str, ...]
    resolve: str
    own: tuple[ClosureWheel, ...]  # the repository's own distributions
    own_tree: Digest  # the wheels of `own`, at their paths
    base_reference: str
    interpreter: BaseInterpreter
    tools: BaseTools


@dataclass(frozen=True)
class WheelBatchRequest:
    """A request for a batch of wheels: one process fetches them, another describes them."""

    wheels: tuple[LockedWheel, ...]
    interpreter: BaseInterpreter
    tools: BaseTools


@dataclass(frozen=True)
class DescribedWheels:
    """Wheels: the .whl files, and facts about each.

    Attributes:
        facts: Facts about each wheel.
        files: File name of a wheel -> its content.
    """

    facts: tuple[WheelFacts, ...]
    files: FrozenDict[str, FileDigest]


@dataclass(frozen=True)
class ImageWheels:
    """The wheels of an image: the .whl files, facts about each, and the distributions in them.

    Attributes:
        distributions: The distributions in the wheels, sorted by name, each with facts about its wheel.
        facts: Facts about each wheel by itself.
        files: File name of a wheel -> its content.
    """

    distributions: tuple[Distribution, ...]
    facts: tuple[WheelFacts, ...]
    files: FrozenDict[str, FileDigest]


def wheel_entries(files: Mapping[str, FileDigest]) -> tuple[FileEntry, ...]:
    """Return .whl files at the paths in a sandbox where programs read them."""
    return tuple(FileEntry(f"{WHEELS}/{file}", digest) for file, digest in files.items())


async def _files_below(tree: Digest, folder: str) -> dict[str, FileDigest]:
    """Map the file name of each wheel in a folder to the digest of its content."""
    entries = await get_digest_entries(tree)
    return {
        posixpath.basename(entry.path): entry.file_digest
        for entry in entries
        if isinstance(entry, FileEntry) and posixpath.dirname(entry.path) == folder
    }


async def _describe(
    files: Mapping[str, FileDigest], what: str, interpreter: BaseInterpreter, tools: BaseTools
) -> tuple[WheelFacts, ...]:
    result = await run_on_base(
        "wheels.describe_wheels",
        DescribeRequest(
            tuple((file, digest.fingerprint) for file, digest in sorted(files.items())),
            site_packages_of(interpreter.facts.python),
            interpreter.facts.marker_environment.to_mapping(),
        ),
        interpreter,
        tools,
        inputs=await create_digest(CreateDigest(wheel_entries(files))),
        output_files=("described.json",),
        description=f"Describe {what}",
    )
    text = await read_output(result.output_digest, "described.json")
    return from_json(DescribeResult, text).wheels


def _was_run(result: FallibleProcessResult) -> bool:
    metadata = result.metadata
    source = metadata.source(metadata.source_run_id)  # type: ignore[arg-type]
    return source == ProcessResultMetadata.Source.RAN


async def _fetch(
    wheels: tuple[LockedWheel, ...], what: str, network: NetworkSettings
) -> dict[str, FileDigest]:
    result = await run_on_host(
        "wheels.fetch_wheels",
        FetchRequest(wheels, network.places),
        inputs=network.tree,
        caches={"slim_ray_image_wheels": WHEEL_CACHE},
        output_files=("fetched.json",),
        output_directories=(WHEELS,),
        description=f"Fetch {what}",
    )
    fetched = from_json(FetchResult, await read_output(result.output_digest, "fetched.json"))
    if fetched.replaced and _was_run(result):
        logger.warning(
            "Wheels in Pants' named cache slim_ray_image_wheels had changed since they were fetched, and are fetched "
            f"again: {', '.join(fetched.replaced)}. Check the disk of this cache."
        )
    return await _files_below(result.output_digest, WHEELS)


@rule(desc="Fetch and describe wheels of a slim_ray_image")
async def prepare_batch(request: WheelBatchRequest, network: NetworkSettings) -> DescribedWheels:
    """Fetch wheels in one process, which is cached by the wheels, not by the image, and describe them in another."""
    wheels = request.wheels
    what = wheels[0].name if len(wheels) == 1 else f"{len(wheels)} small wheels"
    files = await _fetch(wheels, what, network)
    expected = {wheel.file: wheel.sha256 for wheel in wheels}
    if {file: digest.fingerprint for file, digest in files.items()} != expected:
        raise RuntimeError(
            f"The fetched wheels are not the locked ones: {files}. This is a fault in slim_ray_image; report it."
        )
    facts = await _describe(files, what, request.interpreter, request.tools)
    return DescribedWheels(facts, FrozenDict(files))


async def _read_lockfile(request: WheelsRequest, python_setup: PythonSetup) -> FileContent:
    path = python_setup.resolves[request.resolve]
    tree = await path_globs_to_digest(PathGlobs([path]))
    contents = await get_digest_contents(tree)
    if not contents:
        raise SlimRayImageError(
            f"The lockfile {path} of resolve {request.resolve!r}, which {request.address} needs, does not exist.",
            fixes=[
                "create it, for example with `uv pip compile --universal --generate-hashes`",
                "correct `[python].resolves`",
            ],
        )
    return FileContent(_LOCKFILE, contents[0].content)


def _subset_request(
    request: WheelsRequest,
    python_setup: PythonSetup,
    network: NetworkSettings,
    subsystem: SlimRayImageSubsystem,
) -> SubsetRequest:
    interpreter, facts = request.interpreter, request.interpreter.facts
    return SubsetRequest(
        address=str(request.address),
        added_extras=request.added_extras,
        base=request.base_reference,
        host_built=tuple(
            sorted({canonicalize_name(name) for name in subsystem.host_built_distributions})
        ),
        lockfile=_LOCKFILE,
        lockfile_path=python_setup.resolves[request.resolve],
        marker_environment=facts.marker_environment.to_mapping(),
        requirements=request.requirements,
        resolve=request.resolve,
        platform=interpreter.platform,
        python_version=facts.python_version,
        glibc=facts.glibc,
        uv=UvCall(UV, network.places, interpreter.platform, facts.glibc),
    )


async def _find_subset(
    request: WheelsRequest, subset: SubsetRequest, lockfile: FileContent, network: NetworkSettings
) -> tuple[LockedWheels, Digest]:
    """Return an image's wheels in the lockfile, and a folder with the requirements of distributions to build."""
    lock_tree = await create_digest(CreateDigest([lockfile]))
    result = await run_on_base(
        "wheels.subset_lock",
        subset,
        request.interpreter,
        request.tools,
        inputs=await merge_digests(MergeDigests([lock_tree, network.tree])),
        output_files=(_LOCKED, _TO_BUILD),
        description=f"Find the wheels of {request.address} in {subset.lockfile_path}",
        uses_uv=True,
    )
    locked = from_json(LockedWheels, await read_output(result.output_digest, _LOCKED))
    if locked.was_cache_changed and _was_run(result):
        logger.warning(
            "uv's files in Pants' named cache slim_ray_image_uv had changed since they were fetched, and the cache is "
            "emptied. Check the disk of this cache."
        )
    tree = await digest_subset_to_digest(DigestSubset(result.output_digest, PathGlobs([_TO_BUILD])))
    return locked, tree


def _requirements_of_pants(request: WheelsRequest, is_pex_lock: bool, to_build: Digest) -> dict:
    """Return the arguments of Pants' `PexRequest` that select the distributions to build, because they have no wheel.

    Pants can install a part of a Pex lock. It would install a whole pip-style lock, so in that case the arguments are
    the exact requirements.
    """
    if not is_pex_lock:
        arguments = ("--requirement", _TO_BUILD, "--no-transitive")
        return {"additional_inputs": to_build, "additional_args": arguments}
    return {
        "requirements": PexRequirements(
            request.requirements,
            from_superset=Resolve(request.resolve, use_entire_lockfile=False),
            description_of_origin=str(request.address),
        )
    }


async def _build(
    request: WheelsRequest, subset: SubsetRequest, locked: LockedWheels, to_build: Digest
) -> DescribedWheels:
    """Build the distributions that have no wheel, by Pants' own PEX rules, and return them as wheels."""
    interpreter = request.interpreter
    built = await create_pex(
        PexRequest(
            output_filename=_BUILT_PEX,
            internal_only=False,
            layout=PexLayout.PACKED,
            interpreter_constraints=InterpreterConstraints(
                [f"CPython=={interpreter.python_minor}.*"]
            ),
            description=f"Build distributions of {request.address} by Pants' own PEX rules",
            **_requirements_of_pants(request, locked.is_pex_lock, to_build),
        )
    )
    result = await run_on_base(
        "wheels.repack",
        RepackRequest(
            pex=_BUILT_PEX,
            names=tuple(name.split(" ")[0] for name in locked.built),
            address=subset.address,
            base=subset.base,
            host_built=subset.host_built,
            lockfile_path=subset.lockfile_path,
            platform=interpreter.platform,
            glibc=interpreter.facts.glibc,
            python_minor=interpreter.python_minor,
        ),
        interpreter,
        request.tools,
        inputs=built.digest,
        output_directories=(BUILT,),
        description=f"Make wheels of the distributions that were built for {request.address}",
    )
    files = await _files_below(result.output_digest, BUILT)
    facts = await _describe(files, "built wheels", interpreter, request.tools)
    return DescribedWheels(facts, FrozenDict(files))


def _warn_of_builds(address: Address, built: Sequence[str]) -> None:
    has, is_built = ("has", "is") if len(built) == 1 else ("have", "are")
    logger.warning(
        f"Of the distributions of {address}, {' and '.join(built)} {has} no wheel and {is_built} built on this "
        "machine, by Pants' own PEX rules."
    )


def _problem_of(facts: WheelFacts, interpreter: BaseInterpreter) -> str:
    """Return the reason why a wheel that the monorepo builds cannot run in the image; "" if there is none.

    `packages` rejects a wheel that was built against the libraries of this machine, unless the user allows it.
    """
    platform, python = parse_platform(interpreter.platform), interpreter.python_minor
    tags = map(str, parse_wheel_filename(facts.file)[3])
    fits = rank_of(facts.file, python, platform, interpreter.facts.glibc) is not None
    if not fits and not is_built_on_host(tags, python, platform):
        return f"{facts.file} is for another Python or another platform"
    if not SpecifierSet(facts.requires_python).contains(
        interpreter.facts.python_version, prereleases=True
    ):
        return f"{facts.file} requires Python {facts.requires_python}"
    return ""


async def _describe_own(request: WheelsRequest) -> DescribedWheels:
    """Describe the wheels that Pants built of the monorepo's own distributions; raise if one does not fit the image."""
    interpreter = request.interpreter
    entries = await get_digest_entries(request.own_tree)
    digests = {entry.path: entry.file_digest for entry in entries if isinstance(entry, FileEntry)}
    files = {posixpath.basename(wheel.path): digests[wheel.path] for wheel in request.own}
    names = ", ".join(wheel.name for wheel in request.own)
    facts = await _describe(files, f"{names} of this repository", interpreter, request.tools)
    problems = sorted(filter(None, (_problem_of(one, interpreter) for one in facts)))
    if problems:
        raise SlimRayImageError(
            f"The image {request.address} cannot contain distributions that this repository builds: its base has "
            f"{interpreter.platform}, CPython {interpreter.facts.python_version} and glibc {interpreter.facts.glibc}.",
            evidence=problems,
            fixes=["build them for that Python: set `interpreter_constraints` of the code in them"],
        )
    return DescribedWheels(facts, FrozenDict(files))


@rule(desc="Find and fetch the wheels of a slim_ray_image")
async def find_wheels(
    request: WheelsRequest,
    python_setup: PythonSetup,
    network: NetworkSettings,
    subsystem: SlimRayImageSubsystem,
) -> ImageWheels:
    """Return all wheels of an image; runs again when the requirements, the lockfile, the base or the tools change."""
    subset = _subset_request(request, python_setup, network, subsystem)
    lockfile = await _read_lockfile(request, python_setup)
    locked, to_build = await _find_subset(request, subset, lockfile, network)
    prepared = await concurrently(
        prepare_batch(WheelBatchRequest(batch, request.interpreter, request.tools), **implicitly())
        for batch in batches(locked.wheels)
    )
    found = list(prepared)
    if locked.built:
        _warn_of_builds(request.address, locked.built)
        found.append(await _build(request, subset, locked, to_build))
    if request.own:
        found.append(await _describe_own(request))
    facts = tuple(facts for part in found for facts in part.facts)
    files = {file: digest for part in found for file, digest in part.files.items()}
    return ImageWheels(distributions_of(facts), facts, FrozenDict(files))


def rules() -> Iterable[Any]:
    return collect_rules()
