"""The entry points of the backend `slim_ray_image`, which Pants calls when it loads the plugin."""

from __future__ import annotations

from typing import Any, Iterable

from pants.backend.python.util_rules import pex as pants_pex
from pants.build_graph.build_file_aliases import BuildFileAliases

from slim_ray_image import (
    base_image,
    build_image,
    check_image,
    closure,
    dependency_inference,
    distribution_layers,
    first_party_layers,
    image_names,
    layers,
    local_layout,
    network,
    outputs,
    pack_pex,
    package_image,
    packages,
    read_layers,
    run_image,
    runtime_layer,
    serve_config,
    tailor,
    tools,
    try_image,
    wheels,
)
from slim_ray_image.core.check.smoke_requests import smoke_request
from slim_ray_image.target_types import SlimRayImagesTarget, SlimRayImageTarget


def target_types() -> Iterable[Any]:
    return [SlimRayImageTarget, SlimRayImagesTarget]


def build_file_aliases() -> BuildFileAliases:
    return BuildFileAliases(objects={"smoke_request": smoke_request})


def rules() -> Iterable[Any]:
    return [
        *serve_config.rules(),
        *dependency_inference.rules(),
        *packages.rules(),
        *closure.rules(),
        *network.rules(),
        *tools.rules(),
        *local_layout.rules(),
        *base_image.rules(),
        *wheels.rules(),
        *pack_pex.rules(),
        *layers.rules(),
        *runtime_layer.rules(),
        *first_party_layers.rules(),
        *distribution_layers.rules(),
        *image_names.rules(),
        *outputs.rules(),
        *build_image.rules(),
        *package_image.rules(),
        *run_image.rules(),
        *read_layers.rules(),
        *check_image.rules(),
        *try_image.rules(),
        *tailor.rules(),
        *pants_pex.rules(),
    ]
