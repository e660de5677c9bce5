"""Stage 6 of 6: image.json, what is in the image and why.

Keys are only ever added; `schema_version` says when that promise is broken. Sizes are bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Iterable, Mapping, Optional, Sequence, Union

from slim_ray_image.core.closure import ClosureFile
from slim_ray_image.core.dynamic_imports import DynamicImport
from slim_ray_image.core.errors import count_of
from slim_ray_image.core.import_paths import ImportPath
from slim_ray_image.core.import_statements import ImportStatement
from slim_ray_image.core.layers import KIND_BASE, Distribution
from slim_ray_image.core.oci import BaseImage, BuiltLayer, Image
from slim_ray_image.core.pruning import Pruned
from slim_ray_image.core.ray_extras import RayExtra
from slim_ray_image.core.requirements import RequiredDistribution
from slim_ray_image.core.serve_config import ServeConfig
from slim_ray_image.core.serve_schema import DEFAULT_NAME, DEFAULT_ROUTE_PREFIX

SCHEMA_VERSION = 1
_MOST_NAMED = 3
# Of a warning: an import statement whose module is not in the image.
KIND_MISSING = "missing"


def _layer_row(layer: BuiltLayer) -> Mapping[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "digest": layer.descriptor.digest,
        "diff_id": layer.diff_id,
        "media_type": layer.descriptor.media_type,
        "compressed_bytes": layer.descriptor.size,
        "unpacked_bytes": layer.unpacked_bytes,
        "file_count": layer.file_count,
        "distributions": list(layer.distributions),
    }


def _base_rows(base: BaseImage, sizes: Sequence[Mapping[str, int]]) -> list[Mapping[str, Any]]:
    diff_ids = json.loads(base.config)["rootfs"]["diff_ids"]
    return [
        {
            "name": f"base {number}",
            "kind": KIND_BASE,
            "digest": layer.digest,
            "diff_id": diff_id,
            "media_type": layer.media_type,
            "compressed_bytes": layer.size,
            "unpacked_bytes": size["unpacked_bytes"],
            "file_count": size["file_count"],
            "distributions": [],
        }
        for number, (layer, diff_id, size) in enumerate(zip(base.layers, diff_ids, sizes), start=1)
    ]


def _warning_row(
    kind: str, found: Union[DynamicImport, ImportStatement], sources: Mapping[str, str]
) -> Mapping[str, Any]:
    return {"path": sources[found.path], "line": found.line, "kind": kind, "text": found.text}


def _warning_rows(
    unfollowed: Sequence[DynamicImport],
    missing: Sequence[ImportStatement],
    files: Sequence[ClosureFile],
) -> list[Mapping[str, Any]]:
    sources = {file.path: file.source for file in files}
    rows = [
        *(_warning_row(call.kind, call, sources) for call in unfollowed),
        *(_warning_row(KIND_MISSING, statement, sources) for statement in missing),
    ]
    return sorted(rows, key=lambda row: (row["path"], row["line"], row["text"]))


def application_rows(
    import_path: Optional[ImportPath], config: Optional[ServeConfig]
) -> list[Mapping[str, Any]]:
    """Return a row for each application that the image serves.

    Args:
        import_path: Of `serve run` of it alone, with Ray Serve's own names and defaults.
        config: Instead, what `serve run` of a config serves; `args` are the names of a builder's arguments.
    """
    if import_path is not None:
        row = {"name": DEFAULT_NAME, "route_prefix": DEFAULT_ROUTE_PREFIX}
        return [{**row, "import_path": str(import_path)}]
    return [
        {
            "name": application.name,
            "route_prefix": application.route_prefix,
            "import_path": str(application.import_path),
            **({"args": list(application.arguments)} if application.arguments else {}),
        }
        for application in (config.applications if config else ())
    ]


def _sums(sizes: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return name -> bytes, of what may be in more than one layer."""
    totals: dict[str, int] = {}
    for name, size in sizes:
        totals[name] = totals.get(name, 0) + size
    return totals


def _totals(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    ours = [row for row in rows if row["kind"] != KIND_BASE]
    return {
        f"{prefix}{field}": sum(row[field] for row in counted)
        for prefix, counted in (("", rows), ("app_", ours))
        for field in ("compressed_bytes", "unpacked_bytes")
    }


def describe_image(
    *,
    target: str,
    references: Sequence[str],
    image: Image,
    base: BaseImage,
    base_layer_sizes: Sequence[Mapping[str, int]],
    python_version: str,
    libc: str,
    layers: Sequence[BuiltLayer],
    distributions: Sequence[Distribution],
    required: Sequence[RequiredDistribution],
    files: Sequence[ClosureFile],
    pruned: Sequence[Pruned] = (),
    unfollowed: Sequence[DynamicImport],
    missing: Sequence[ImportStatement],
    ray_extras: Sequence[RayExtra],
    applications: Sequence[Mapping[str, Any]],
    serve_config: Optional[str],
) -> bytes:
    """Return image.json.

    Args:
        references: Its names, `[registry/]repository:tag`.
        base_layer_sizes: `unpacked_bytes` and `file_count` of each base layer, in order.
        layers: Those added to the base, lowest first.
        distributions: What was installed.
        required: Why, in the same order.
        pruned: What rules took away, sorted.
        unfollowed: Imports that may need what the image does not hold.
        missing: Imports that do.
        ray_extras: What was decided of Ray's extras.
        applications: The Ray Serve applications, a row each.
        serve_config: The path that their config has in the image.
    """
    compressed = _sums(size for layer in layers for size in layer.compressed_bytes_of)
    unpacked = _sums(size for layer in layers for size in layer.unpacked_bytes_of)
    rows = [*_base_rows(base, base_layer_sizes), *map(_layer_row, layers)]
    value = {
        "schema_version": SCHEMA_VERSION,
        "target": target,
        "applications": list(applications),
        "serve_config": serve_config,
        "reference": list(references),
        "platform": str(image.platform),
        "manifest_digest": image.manifest_descriptor.digest,
        "config_digest": image.config_descriptor.digest,
        "base": {
            "reference": base.reference,
            "digest": base.manifest_digest,
            "source": base.source,
            "python_version": python_version,
            "libc": libc,
        },
        "layers": rows,
        "requirements": [
            {
                "name": distribution.name,
                "version": distribution.version,
                "extras": list(reason.extras),
                "required_by": list(reason.required_by),
                "unpacked_bytes": unpacked[distribution.name],
                "compressed_bytes": compressed[distribution.name],
            }
            for distribution, reason in zip(distributions, required)
        ],
        "files": [
            {"path": file.path, "source": file.source, "bytes": file.bytes, "reason": file.reason}
            for file in files
        ],
        "pruned": [
            {
                "rule": row.rule,
                "distribution": row.distribution,
                "bytes": row.saved.bytes,
                "files": row.saved.files,
            }
            for row in pruned
        ],
        "ray_extras": [asdict(extra) for extra in ray_extras],
        "totals": _totals(rows),
        "warnings": _warning_rows(unfollowed, missing, files),
    }
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def _summarize_places(rows: Sequence[Mapping[str, Any]], what: str) -> tuple[str, ...]:
    if not rows:
        return ()
    named = [f"{row['path']}:{row['line']}" for row in rows[:_MOST_NAMED]]
    more = ["..."] if len(rows) > _MOST_NAMED else []
    count = count_of(len(rows), "import")
    return (f"{count} {what}: {', '.join([*named, *more])}; see `warnings` in image.json",)


def _summarize_warnings(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    missing = [row for row in rows if row["kind"] == KIND_MISSING]
    others = [row for row in rows if row["kind"] != KIND_MISSING]
    return (
        *_summarize_places(missing, "of what is not in the image"),
        *_summarize_places(others, "cannot be followed"),
    )


def _summarize_pruned(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    if not rows:
        return ()
    pruned = sum(row["bytes"] for row in rows) / 1e6
    rules = count_of(len({row["rule"] for row in rows}), "rule")
    return (f"Pruned {pruned:.1f} MB by {rules}; see `pruned` in image.json",)


def summarize(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the lines that tell a user what was built, from the fields of image.json."""
    totals = description["totals"]
    layers = [layer for layer in description["layers"] if layer["kind"] != KIND_BASE]
    distributions = count_of(len(description["requirements"]), "distribution")
    files = count_of(len(description["files"]), "file")
    return (
        f"Image {description['manifest_digest']} for {description['platform']}",
        f"Named {', '.join(description['reference'])}",
        f"{totals['compressed_bytes'] / 1e6:.1f} MB compressed, {totals['unpacked_bytes'] / 1e6:.1f} MB unpacked; "
        f"{distributions} and {files} in {count_of(len(layers), 'layer')} on {description['base']['reference']}",
        *_summarize_pruned(description["pruned"]),
        *_summarize_warnings(description["warnings"]),
    )
