"""Stage 3 of 6, beside the layers: the wheels of an image -> a PEX file of its distributions.

Pex packs the same wheels as the layers, and rejects a set of wheels that lacks a requirement of one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Container, Iterable, Sequence

from packaging.utils import canonicalize_name
from pants.engine.fs import CreateDigest, Digest, FileDigest
from pants.engine.rules import collect_rules
from pants.util.frozendict import FrozenDict

from slim_ray_image.compat import create_digest, rule
from slim_ray_image.core.closure.closure import ClosureWheel
from slim_ray_image.core.wheels.wheels import PEX, PexRequest, WheelFacts
from slim_ray_image.tools import BaseInterpreter, BaseTools, run_on_base
from slim_ray_image.wheels import ImageWheels, wheel_entries


@dataclass(frozen=True)
class PackPexRequest:
    """A request for the PEX of an image's distributions.

    Attributes:
        requirements: `name==version` of each distribution.
        excluded: Names that the repository's own distributions require, but that are no distributions in the image,
            because their code is among the image's sources.
        files: File name of a wheel -> its content.
        image: Address of the target.
        is_output: Whether to return the PEX; otherwise Pex only checks the wheels.
    """

    requirements: tuple[str, ...]
    excluded: tuple[str, ...]
    files: FrozenDict[str, FileDigest]
    interpreter: BaseInterpreter
    tools: BaseTools
    image: str
    is_output: bool = False


@dataclass(frozen=True)
class PackedPex:
    """A folder with the PEX of an image's distributions; if `pants package` writes no PEX, only with its PEX-INFO."""

    tree: Digest


def _excluded(facts: Sequence[WheelFacts], own: Container[str]) -> tuple[str, ...]:
    """Return the names that the monorepo's own distributions require, but that are not among the image's wheels."""
    required = {need.name for wheel in facts if wheel.name in own for need in wheel.needs}
    return tuple(sorted(required - {wheel.name for wheel in facts}))


def pack_pex_request(
    wheels: ImageWheels,
    own: Iterable[ClosureWheel],
    interpreter: BaseInterpreter,
    tools: BaseTools,
    image: str,
) -> PackPexRequest:
    """Return the request for a PEX of all wheels of an image.

    Args:
        own: The repository's own distributions.
    """
    return PackPexRequest(
        tuple(sorted(f"{facts.name}=={facts.version}" for facts in wheels.facts)),
        _excluded(wheels.facts, {canonicalize_name(wheel.name) for wheel in own}),
        wheels.files,
        interpreter,
        tools,
        image,
    )


@rule(desc="Pack the distributions of a slim_ray_image")
async def pack_pex(request: PackPexRequest) -> PackedPex:
    """Pack wheels into a PEX in one process, cached by the wheels, not by the image that needs them.

    Raises:
        SlimRayImageError: If a wheel requires a distribution that is not among the wheels.
    """
    result = await run_on_base(
        "wheels.pack_pex",
        PexRequest(
            request.requirements,
            request.excluded,
            {file: digest.fingerprint for file, digest in sorted(request.files.items())},
        ),
        request.interpreter,
        request.tools,
        inputs=await create_digest(CreateDigest(wheel_entries(request.files))),
        output_files=() if request.is_output else (f"{PEX}/PEX-INFO",),
        output_directories=(PEX,) if request.is_output else (),
        description=f"Pack the distributions of {request.image}",
    )
    return PackedPex(result.output_digest)


def rules() -> Iterable[Any]:
    return collect_rules()
