"""Stage 6 of 6: image.json, the contents of the image and the reason for each.

Keys are only ever added; `schema_version` changes when that promise is broken. Sizes are in bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Iterable, Mapping, Optional, Sequence, Union

from slim_ray_image.core.closure.closure import ClosureFile
from slim_ray_image.core.closure.ray_extras import RayExtra
from slim_ray_image.core.errors import count_of
from slim_ray_image.core.image.oci import BuiltLayer, Descriptor
from slim_ray_image.core.layers.kinds import KIND_BASE
from slim_ray_image.core.layers.pruning import Pruned
from slim_ray_image.core.python.dynamic_imports import DynamicImport
from slim_ray_image.core.python.import_statements import ImportStatement
from slim_ray_image.core.serve.import_paths import ImportPath
from slim_ray_image.core.serve.serve_config import ServeConfig
from slim_ray_image.core.serve.serve_schema import DEFAULT_NAME, DEFAULT_ROUTE_PREFIX
from slim_ray_image.core.serve.served_application import ServedApplication
from slim_ray_image.core.wheels.distributions import Distribution
from slim_ray_image.core.wheels.requirements import RequiredDistribution
from slim_ray_image.core.wire import from_json

FILE = "image.json"
SCHEMA_VERSION = 1
# Kind of a warning about an import statement whose module is not in the image. `DynamicImport` has the other kinds.
KIND_MISSING = "missing"
_MOST_NAMED = 3


@dataclass(frozen=True)
class DescribedBase:
    """The base image: its reference, its digest, and the versions of its Python and its libc.

    Attributes:
        reference: Base image as the field `base_image` or the option names it.
        digest: Digest of the manifest.
        source: Reference or local layout that the base was read from.
        libc: Name and version, such as "glibc 2.36".
    """

    reference: str
    digest: str
    source: str
    python_version: str
    libc: str


@dataclass(frozen=True)
class DescribedLayer:
    """A layer of the image: its kind, digests and sizes, and the distributions in it.

    Attributes:
        kind: One of `core/layers/kinds.py`.
        distributions: Names of the distributions in the layer, sorted.
    """

    name: str
    kind: str
    digest: str
    diff_id: str
    media_type: str
    compressed_bytes: int
    unpacked_bytes: int
    file_count: int
    distributions: tuple[str, ...]

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.compressed_bytes)


@dataclass(frozen=True)
class DescribedRequirement:
    """A Python distribution in the image: its sizes, and the reasons that the image has it."""

    name: str
    version: str
    extras: tuple[str, ...]
    required_by: tuple[str, ...]
    unpacked_bytes: int
    compressed_bytes: int


@dataclass(frozen=True)
class DescribedFile:
    """A first-party file in the image: its source in the monorepo, and the reason that the image has it.

    Attributes:
        path: Relative to the image's working directory.
        source: Relative to the build root; for a file that another target packaged, that target's address.
    """

    path: str
    source: str
    bytes: int
    reason: str


@dataclass(frozen=True)
class DescribedPruned:
    """The bytes and files of one distribution that one rule of `prune` left out."""

    rule: str
    distribution: str
    bytes: int
    files: int


@dataclass(frozen=True)
class DescribedWarning:
    """An import in a first-party file that may need a module which the image lacks.

    Attributes:
        path: Relative to the build root.
        text: Source of the statement or the call.
    """

    path: str
    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class Totals:
    """Sizes of all layers of the image together; `app_*` leave out the layers of the base image."""

    compressed_bytes: int
    unpacked_bytes: int
    app_compressed_bytes: int
    app_unpacked_bytes: int


@dataclass(frozen=True)
class ImageDescription:
    """The content of image.json.

    Attributes:
        target: Address of the target.
        applications: The Ray Serve applications, in the order of their config; empty for a job.
        serve_config: Path of the Serve config in the image.
        reference: Names of the image, `[registry/]repository:tag`.
        platform: OCI platform, such as "linux/amd64".
        layers: Lowest first, the base's layers included.
        requirements: Sorted by name.
        files: Sorted by path.
        ray_extras: Extras of Ray, each with the plugin's decision.
        warnings: Sorted by path and line.
    """

    target: str
    applications: tuple[ServedApplication, ...]
    serve_config: Optional[str]
    reference: tuple[str, ...]
    platform: str
    manifest_digest: str
    config_digest: str
    base: DescribedBase
    layers: tuple[DescribedLayer, ...]
    requirements: tuple[DescribedRequirement, ...]
    files: tuple[DescribedFile, ...]
    pruned: tuple[DescribedPruned, ...]
    ray_extras: tuple[RayExtra, ...]
    totals: Totals
    warnings: tuple[DescribedWarning, ...]
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> bytes:
        """Return the bytes of image.json: sorted keys, an indent for people, a line break at the end."""
        text = json.dumps(asdict(self), sort_keys=True, indent=2, ensure_ascii=False)
        return f"{text}\n".encode()


def read_description(content: Union[str, bytes]) -> ImageDescription:
    """Return the description of an image from an image.json that this version of the plugin wrote.

    Raises:
        ValueError: If a key is unknown or missing, or a value has another type.
    """
    return from_json(ImageDescription, content)


def describe_applications(
    import_path: Optional[ImportPath], config: Optional[ServeConfig]
) -> tuple[ServedApplication, ...]:
    """Return the Ray Serve applications that the image serves, by its import path or else its Serve config.

    Args:
        import_path: Argument of `serve run`, which gives the application Ray Serve's default name and route.
        config: Config to serve in place of an import path.
    """
    if import_path is not None:
        return (ServedApplication(DEFAULT_NAME, DEFAULT_ROUTE_PREFIX, str(import_path), args=()),)
    return tuple(
        ServedApplication(
            application.name,
            application.route_prefix,
            str(application.import_path),
            application.arguments,
        )
        for application in (config.applications if config else ())
    )


def describe_layers(layers: Iterable[BuiltLayer]) -> tuple[DescribedLayer, ...]:
    """Return the row of image.json for each layer, in the order of `layers`."""
    return tuple(
        DescribedLayer(
            name=layer.name,
            kind=layer.kind,
            digest=layer.descriptor.digest,
            diff_id=layer.diff_id,
            media_type=layer.descriptor.media_type,
            compressed_bytes=layer.descriptor.size,
            unpacked_bytes=layer.unpacked_bytes,
            file_count=layer.file_count,
            distributions=layer.distributions,
        )
        for layer in layers
    )


def _sums(sizes: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    """Return distribution's name -> sum of its sizes; a distribution may be in more than one layer."""
    totals: dict[str, int] = {}
    for name, size in sizes:
        totals[name] = totals.get(name, 0) + size
    return totals


def describe_requirements(
    distributions: Sequence[Distribution],
    required: Sequence[RequiredDistribution],
    layers: Sequence[BuiltLayer],
) -> tuple[DescribedRequirement, ...]:
    """Return the row of image.json for each Python distribution, in the order of `distributions`.

    Args:
        required: Reasons for the distributions, in the same order.
        layers: Layers that contain the distributions.
    """
    compressed = _sums(size for layer in layers for size in layer.compressed_bytes_of)
    unpacked = _sums(size for layer in layers for size in layer.unpacked_bytes_of)
    return tuple(
        DescribedRequirement(
            name=distribution.name,
            version=distribution.version,
            extras=reason.extras,
            required_by=reason.required_by,
            unpacked_bytes=unpacked[distribution.name],
            compressed_bytes=compressed[distribution.name],
        )
        for distribution, reason in zip(distributions, required)
    )


def describe_files(files: Iterable[ClosureFile]) -> tuple[DescribedFile, ...]:
    """Return the row of image.json for each first-party file, in the order of `files`."""
    return tuple(DescribedFile(file.path, file.source, file.bytes, file.reason) for file in files)


def describe_pruned(pruned: Iterable[Pruned]) -> tuple[DescribedPruned, ...]:
    """Return a row of image.json for each pair of a rule of `prune` and a distribution that it made smaller."""
    return tuple(
        DescribedPruned(row.rule, row.distribution, row.saved.bytes, row.saved.files)
        for row in pruned
    )


def describe_warnings(
    unfollowed: Iterable[DynamicImport],
    missing: Iterable[ImportStatement],
    files: Iterable[ClosureFile],
) -> tuple[DescribedWarning, ...]:
    """Return a row of image.json for each import to warn of, sorted by path and line.

    Args:
        unfollowed: Imports whose modules are known only when the code runs.
        missing: Imports of modules that the image lacks.
        files: First-party files; their `source` is the path in a row.
    """
    sources = {file.path: file.source for file in files}
    rows = [
        *(DescribedWarning(sources[c.path], c.line, c.kind, c.text) for c in unfollowed),
        *(DescribedWarning(sources[s.path], s.line, KIND_MISSING, s.text) for s in missing),
    ]
    return tuple(sorted(rows, key=lambda row: (row.path, row.line, row.text)))


def total(layers: Sequence[DescribedLayer]) -> Totals:
    """Return the sums of the layers' sizes, with and without the layers of the base image."""
    ours = [layer for layer in layers if layer.kind != KIND_BASE]
    return Totals(
        compressed_bytes=sum(layer.compressed_bytes for layer in layers),
        unpacked_bytes=sum(layer.unpacked_bytes for layer in layers),
        app_compressed_bytes=sum(layer.compressed_bytes for layer in ours),
        app_unpacked_bytes=sum(layer.unpacked_bytes for layer in ours),
    )


def _summarize_places(rows: Sequence[DescribedWarning], what: str) -> tuple[str, ...]:
    if not rows:
        return ()
    named = [f"{row.path}:{row.line}" for row in rows[:_MOST_NAMED]]
    more = ["..."] if len(rows) > _MOST_NAMED else []
    count = count_of(len(rows), "import")
    return (f"{count} {what}: {', '.join([*named, *more])}; see `warnings` in image.json",)


def _summarize_warnings(rows: Sequence[DescribedWarning]) -> tuple[str, ...]:
    missing = [row for row in rows if row.kind == KIND_MISSING]
    others = [row for row in rows if row.kind != KIND_MISSING]
    modules = "a module" if len(missing) == 1 else "modules"
    return (
        *_summarize_places(missing, f"of {modules} that the image lacks"),
        *_summarize_places(others, "cannot be followed"),
    )


def _summarize_pruned(rows: Sequence[DescribedPruned]) -> tuple[str, ...]:
    if not rows:
        return ()
    pruned = sum(row.bytes for row in rows) / 1e6
    rules = count_of(len({row.rule for row in rows}), "rule")
    return (f"Pruned {pruned:.1f} MB by {rules}; see `pruned` in image.json",)


def summarize(description: ImageDescription) -> tuple[str, ...]:
    """Return the lines that `pants package` prints about an image."""
    totals = description.totals
    layers = sum(1 for layer in description.layers if layer.kind != KIND_BASE)
    distributions = count_of(len(description.requirements), "distribution")
    files = count_of(len(description.files), "file")
    return (
        f"Image {description.manifest_digest} for {description.platform}",
        f"Named {', '.join(description.reference)}",
        f"{totals.compressed_bytes / 1e6:.1f} MB compressed, {totals.unpacked_bytes / 1e6:.1f} MB unpacked; "
        f"{distributions} and {files} in {count_of(layers, 'layer')} on {description.base.reference}",
        *_summarize_pruned(description.pruned),
        *_summarize_warnings(description.warnings),
    )
