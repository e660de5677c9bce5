"""Requests for layers: each depends on the layer's own content, and never on the service that uses the layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Sequence

import pytest
from conftest import make_distribution
from pants.engine.fs import FileDigest
from pants.util.frozendict import FrozenDict

from rules.rule_runner import BASE
from slim_ray_image.base_image import PreparedBase
from slim_ray_image.core.layers.plan import LARGE_DISTRIBUTION_BYTES, plan_layers
from slim_ray_image.core.layers.pruning import Pruning
from slim_ray_image.core.wheels.distributions import Distribution
from slim_ray_image.distribution_layers import PlannedDistributions, SharedLayerRequest
from slim_ray_image.layers import LayerRequest
from slim_ray_image.runtime_layer import runtime_request
from slim_ray_image.wheels import ImageWheels

SITE_PACKAGES = "/opt/venv/lib/python3.10/site-packages"


def distribution(name: str, **fields: Any) -> Distribution:
    return replace(make_distribution(name, **fields), roots=(f"{SITE_PACKAGES}/{name}",))


LARGE = distribution("numpy", unpacked_bytes=LARGE_DISTRIBUTION_BYTES)


def planned(
    distributions: Sequence[Distribution],
    *,
    base: PreparedBase = BASE,
    rules: Sequence[str] = (),
    exclude_files: Sequence[str] = (),
    bytecode: bool = True,
    changed: Sequence[str] = (),
) -> PlannedDistributions:
    """Return the values that the layers of a service depend on.

    Args:
        changed: Names of the distributions whose wheels have another content.
    """
    files = {
        one.file: FileDigest(("1" if one.name in changed else "0") * 64, 1) for one in distributions
    }
    return PlannedDistributions(
        ImageWheels(tuple(distributions), (), FrozenDict(files)),
        base,
        bytecode,
        Pruning(tuple(rules)),
        tuple(exclude_files),
    )


def own_layer(service: PlannedDistributions) -> LayerRequest:
    """Return the request for the layer of the one large distribution of a service."""
    (spec, _) = plan_layers(service.wheels.distributions, 9)
    return service.layer_request(spec)


def shared_layer(service: PlannedDistributions) -> SharedLayerRequest:
    """Return the request for the layer of the small distributions of a service."""
    *_, rest = plan_layers(service.wheels.distributions, 9)
    return service.shared_layer_request(rest)


FIRST = planned([LARGE, distribution("click")])


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(planned([LARGE]), id="other distributions"),
        pytest.param(
            planned([LARGE, distribution("click")], changed=["click"]), id="a new version of them"
        ),
        pytest.param(
            planned([LARGE], exclude_files=[f"{SITE_PACKAGES}/click/*", "/usr/local/bin/wget"]),
            id="`exclude_files` of other paths",
        ),
        pytest.param(planned([LARGE], rules=["java"]), id="a rule for another distribution"),
    ],
)
def test_large_distribution_has_one_layer_in_all_services(other: PlannedDistributions) -> None:
    """The request, and so the cached process and the blob, is the same whatever else a service contains."""
    assert own_layer(other) == own_layer(FIRST)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(planned([LARGE], changed=["numpy"]), id="another wheel"),
        pytest.param(
            planned([LARGE], exclude_files=[f"{SITE_PACKAGES}/numpy/tests/*"]),
            id="`exclude_files` of its paths",
        ),
        pytest.param(
            planned([LARGE], exclude_files=[f"{SITE_PACKAGES}/**/*.pyi"]),
            id="`exclude_files` of any path",
        ),
        pytest.param(planned([LARGE], rules=["tests"]), id="a rule for every distribution"),
        pytest.param(planned([LARGE], bytecode=False), id="no bytecode"),
        pytest.param(planned([LARGE], base=replace(BASE, timestamp=1)), id="another time"),
    ],
)
def test_layer_has_another_key_where_its_bytes_may_differ(other: PlannedDistributions) -> None:
    """Each input that changes the bytes of the layer is a part of the request."""
    assert (
        own_layer(other).request != own_layer(FIRST).request
        or own_layer(other).files != own_layer(FIRST).files
    )


def test_new_small_distribution_changes_one_slice() -> None:
    """The layer that small distributions share is written in slices, and unchanged slices come from the cache."""
    small = [distribution(f"d{number}") for number in range(40)]
    before = set(shared_layer(planned(small)).slices)
    after = set(shared_layer(planned([*small, distribution("new")])).slices)
    assert len(before) > 4
    assert len(after - before) == 1


def test_layer_of_what_a_base_lacks_ignores_the_services_own_paths() -> None:
    """Only a pattern of `exclude_files` that can match the layer's paths changes the layer."""
    request = runtime_request(BASE, True, [])
    assert runtime_request(BASE, True, ["/app/*", f"{SITE_PACKAGES}/numpy"]) == request
    assert runtime_request(BASE, True, ["/usr/local/bin/wget"]) != request
