"""Stages 3 and 4 of 6: everything that the code needs, and the base image -> wheels -> distributions -> layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from slim_ray_image.base_image import PreparedBase
from slim_ray_image.closure import ImageClosure
from slim_ray_image.compat import concurrently, implicitly
from slim_ray_image.core.accounts import Account, account_of, owner_of
from slim_ray_image.core.closure.ray_extras import explain_added
from slim_ray_image.core.image.oci import BuiltLayer
from slim_ray_image.core.layers.sources_layer import SourcesLayerResult
from slim_ray_image.distribution_layers import (
    DistributionLayers,
    PlannedDistributions,
    write_distribution_layers,
)
from slim_ray_image.distributions import IncludedDistributions, check_distributions, leave_out
from slim_ray_image.excluded_files import ExcludedFiles, excluded_files
from slim_ray_image.field_sets import SlimRayImageFieldSet, chosen_pruning
from slim_ray_image.first_party_layers import (
    FirstPartyLayers,
    FirstPartyLayersRequest,
    write_first_party_layers,
)
from slim_ray_image.pack_pex import PackPexRequest, pack_pex, pack_pex_request
from slim_ray_image.runtime_layer import RuntimeLayer, RuntimeLayerQuery, write_runtime_layer
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.wheels import ImageWheels, WheelsRequest, find_wheels


@dataclass(frozen=True)
class ImageContent:
    """Everything that an image adds to its base.

    Attributes:
        closure: First-party files and requirements, without the files that `exclude_files` matches.
        layers: Lowest first.
        sources: Result of the program that read the sources, with facts such as imports that could not be followed.
        pex: A request for the distributions as a PEX.
    """

    closure: ImageClosure
    layers: tuple[BuiltLayer, ...]
    included: IncludedDistributions
    distributions: DistributionLayers
    sources: SourcesLayerResult
    pex: PackPexRequest


def added_account(field_set: SlimRayImageFieldSet, base: PreparedBase) -> Optional[Account]:
    """Return the account to add to the image, if the base has no account for the image's user."""
    return account_of(
        field_set.user.value, base.interpreter.facts.passwd, base.interpreter.facts.group
    )


def _wheels_request(
    field_set: SlimRayImageFieldSet, closure: ImageClosure, base: PreparedBase
) -> WheelsRequest:
    return WheelsRequest(
        field_set.address,
        tuple(sorted({requirement.text for requirement in closure.requirements})),
        explain_added(closure.ray_extras),
        closure.resolve,
        closure.wheels,
        closure.wheels_tree,
        base.image.reference,
        base.interpreter,
        base.tools,
    )


def _first_party_request(
    field_set: SlimRayImageFieldSet, closure: ImageClosure, base: PreparedBase
) -> FirstPartyLayersRequest:
    interpreter = base.interpreter
    return FirstPartyLayersRequest(
        image=field_set.image,
        closure=closure,
        base=base,
        workdir=field_set.workdir.value,
        bytecode=field_set.bytecode.value,
        layer_budget=field_set.layer_budget.value,
        owner=owner_of(field_set.user.value, interpreter.facts.passwd, interpreter.facts.group),
        account=added_account(field_set, base),
    )


def _used_modules(closure: ImageClosure, sources: SourcesLayerResult) -> tuple[str, ...]:
    """Return the modules, Ray's too, that first-party code uses or that Serve applications and their config name."""
    serve = closure.config.serve if closure.config else None
    return (
        *(entry.import_path.module for entry in closure.entries if entry.import_path),
        *(named.module for named in (serve.modules if serve else ())),
        *sources.uses,
    )


async def _find_wheels_and_first_layers(
    field_set: SlimRayImageFieldSet,
    closure: ImageClosure,
    base: PreparedBase,
    excluded: ExcludedFiles,
) -> tuple[ImageWheels, RuntimeLayer, FirstPartyLayers]:
    """Find the wheels, and meanwhile write the layers that need no wheels, so that mistakes in code show early."""
    runtime = RuntimeLayerQuery(base, field_set.bytecode.value, excluded.absolute)
    wheels, runtime_layer, first_party = await concurrently(
        find_wheels(_wheels_request(field_set, closure, base), **implicitly()),
        write_runtime_layer(runtime, **implicitly()),
        write_first_party_layers(_first_party_request(field_set, closure, base), **implicitly()),
    )
    return wheels, runtime_layer, first_party


async def build_content(
    field_set: SlimRayImageFieldSet,
    subsystem: SlimRayImageSubsystem,
    needed: ImageClosure,
    base: PreparedBase,
) -> ImageContent:
    """Build everything that an image adds to its base: find its wheels, check its distributions and write its layers.

    Args:
        needed: Everything that the target's code needs, including files that `exclude_files` may match.
    """
    image, pruning = field_set.image, chosen_pruning(field_set, subsystem)
    excluded = excluded_files(field_set.exclude_files.value or (), base.interpreter)
    closure, matched = excluded.remove_from(needed, field_set.workdir.value)
    wheels, runtime, first_party = await _find_wheels_and_first_layers(
        field_set, closure, base, excluded
    )
    included = leave_out(image, pruning, closure, wheels, base)
    check_distributions(image, included, closure, base, excluded.absolute)
    pex = pack_pex_request(wheels, closure.wheels, base.interpreter, base.tools, image)
    planned = PlannedDistributions(
        included.wheels, base, field_set.bytecode.value, pruning, excluded.absolute
    )
    distributions, _ = await concurrently(
        write_distribution_layers(
            planned,
            included.left_out,
            uses=_used_modules(closure, first_party.found),
            layer_budget=field_set.layer_budget.value,
            has_large_files=len(first_party.layers) > 1,
        ),
        pack_pex(pex, **implicitly()),
    )
    excluded.check(image, {*matched, *runtime.matched, *distributions.matched})
    layers = (*runtime.layers, *distributions.layers, *first_party.layers)
    return ImageContent(closure, layers, included, distributions, first_party.found, pex)
