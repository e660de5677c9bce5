"""Stage 4 of 6: packed distributions and first-party files -> one cached process per layer -> `BuiltLayer`s.

A layer's process is keyed by its own content and the base's interpreter, never by the service, so the same
distribution is the same layer in every image, in the cache, the registry and on the node.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import asdict, dataclass
from typing import Any, Iterable, Mapping, Optional, Sequence

from pants.engine.fs import EMPTY_DIGEST, CreateDigest, Digest, FileContent, FileDigest, FileEntry
from pants.engine.rules import collect_rules
from pants.util.resources import read_resource

from slim_ray_image.base_image import PreparedBase
from slim_ray_image.closure import ImageClosure
from slim_ray_image.compat import (
    create_digest,
    get_digest_entries,
    implicitly,
    rule,
)
from slim_ray_image.core.closure import ClosureFile
from slim_ray_image.core.dynamic_imports import DynamicImport
from slim_ray_image.core.exclude_files import patterns_for
from slim_ray_image.core.import_statements import ImportStatement
from slim_ray_image.core.layers import (
    COMMAND_DIRECTORY,
    KIND_DISTRIBUTIONS,
    KIND_FILES,
    KIND_RUNTIME,
    KIND_SOURCES,
    LINKED_SCRIPTS,
    VENV,
    LayerSpec,
    Piece,
    parents,
)
from slim_ray_image.core.oci import BuiltLayer, Descriptor
from slim_ray_image.core.pruning import (
    Pruned,
    Pruning,
    Saved,
    fixed_rules,
)
from slim_ray_image.core.settings import HOME, Account
from slim_ray_image.pack import PackedDistributions
from slim_ray_image.tools import BaseInterpreter, BaseTools, read_output, run_on_base

_BLOB = "layer.tar.gz"


@dataclass(frozen=True)
class LayerRequest:
    """A request for one layer. `request` is all that its bytes depend on besides `inputs` and the tools."""

    kind: str  # what `sandbox/write_layer.py` is to write
    request: str  # JSON
    inputs: Digest
    interpreter: BaseInterpreter
    tools: BaseTools
    description: str


@dataclass(frozen=True)
class WrittenLayer:
    """A layer as `sandbox/write_layer.py` describes it. Its blob is in Pants' store, under its own SHA-256."""

    facts: str  # JSON


@rule(desc="Write a layer of a slim_ray_image")
async def write_layer(request: LayerRequest) -> WrittenLayer:
    """One process, keyed by the layer's own content."""
    result = await run_on_base(
        "write_layer",
        {"kind": request.kind, **json.loads(request.request)},
        request.interpreter,
        request.tools,
        inputs=request.inputs,
        output_files=(_BLOB, "layer.json"),
        description=request.description,
    )
    facts = await read_output(result.output_digest, "layer.json")
    entries = await get_digest_entries(result.output_digest)
    blob = next(e.file_digest for e in entries if isinstance(e, FileEntry) and e.path == _BLOB)
    described = Descriptor.from_json(json.loads(facts)["descriptor"])
    if (blob.fingerprint, blob.serialized_bytes_length) != (described.hex, described.size):
        raise RuntimeError(
            f"The layer that {request.description!r} wrote is {blob}, but layer.json says {described}. This is a fault "
            "in slim_ray_image; report it."
        )
    return WrittenLayer(facts.decode())


def _sums(pieces: Sequence[Piece], sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return (distribution, bytes), of what a layer reports for each piece."""
    totals: dict[str, int] = {}
    for piece in pieces:
        name = piece.distribution.name
        totals[name] = totals.get(name, 0) + sizes[_key(piece)]
    return tuple(sorted(totals.items()))


def _built_layer(
    name: str, kind: str, written: WrittenLayer, spec: Optional[LayerSpec] = None
) -> BuiltLayer:
    facts = json.loads(written.facts)
    descriptor = Descriptor.from_json(facts["descriptor"])
    pieces = spec.pieces if spec else ()
    compressed = facts.get("compressed_bytes_of", {})
    if len(pieces) == 1:
        compressed = {_key(pieces[0]): descriptor.size}
    return BuiltLayer(
        name=name,
        kind=kind,
        descriptor=descriptor,
        diff_id=facts["diff_id"],
        unpacked_bytes=facts["unpacked_bytes"],
        file_count=facts["file_count"],
        distributions=tuple(sorted({piece.distribution.name for piece in pieces})),
        compressed_bytes_of=_sums(pieces, compressed),
        unpacked_bytes_of=_sums(pieces, facts.get("unpacked_bytes_of", {})),
    )


def _base_facts(interpreter: BaseInterpreter, *below: str) -> Mapping[str, Any]:
    """What a layer must know of the base, and no more: it is part of the layer's cache key."""
    wanted = {parent for path in below for parent in parents(f"{path}/x")}
    return {
        "python": interpreter.python,
        "python_version": interpreter.python_version,
        "directories": sorted(wanted & interpreter.directories),
    }


@dataclass(frozen=True)
class RuntimeLayer:
    """The layer of what the base lacks, if it lacks any of it.

    Attributes:
        matched: Patterns of `exclude_files`, absolute, that took something.
    """

    layers: tuple[BuiltLayer, ...] = ()
    matched: tuple[str, ...] = ()


def _runtime_request(
    interpreter: BaseInterpreter, bytecode: bool, exclude_files: Sequence[str]
) -> Mapping[str, Any]:
    """What the base lacks; and of the base, where that goes."""
    prefix = f"{posixpath.dirname(interpreter.site_packages)}/"
    facts = _base_facts(interpreter, COMMAND_DIRECTORY, prefix)
    library = (directory for directory in interpreter.directories if directory.startswith(prefix))
    return {
        "wget": "wget" not in {*interpreter.programs, *interpreter.commands},
        "bytecode": bytecode and not interpreter.has_bytecode,
        "exclude_files": patterns_for(exclude_files, [f"{COMMAND_DIRECTORY}/wget", prefix]),
        "base": {**facts, "directories": sorted({*facts["directories"], *library})},
    }


async def _wget_tree() -> Digest:
    content = read_resource("slim_ray_image.in_image", "wget.py")
    assert content is not None
    return await create_digest(CreateDigest([FileContent("wget.py", content)]))


async def write_runtime_layer(
    base: PreparedBase, bytecode: bool, exclude_files: Sequence[str]
) -> RuntimeLayer:
    """Return the layer of what every image on this base needs besides the base, if the base lacks any of it."""
    request = _runtime_request(base.interpreter, bytecode, exclude_files)
    if not request["wget"] and not request["bytecode"]:
        return RuntimeLayer()
    written = await write_layer(
        LayerRequest(
            "runtime",
            json.dumps(request, sort_keys=True),
            await _wget_tree() if request["wget"] else EMPTY_DIGEST,
            base.interpreter,
            base.tools,
            f"Write the layer of what {base.image.reference} lacks",
        ),
        **implicitly(),
    )
    matched = json.loads(written.facts)["matched"]
    return RuntimeLayer((_built_layer("runtime", KIND_RUNTIME, written),), tuple(matched))


def _key(piece: Piece) -> str:
    """The name of a piece in what its layer is asked and reports."""
    file = piece.distribution.file
    return f"{file}:{piece.part}" if piece.part else file


@dataclass(frozen=True)
class DistributionsLayer:
    """A layer of distributions, and what does not go into it.

    Attributes:
        pruned: What rules took from what it holds.
        parts: (part, what is in it), of the distributions that are in the layer without their parts.
        matched: Patterns of `exclude_files`, absolute, that took something.
    """

    layer: BuiltLayer
    pruned: tuple[Pruned, ...]
    parts: tuple[tuple[str, Saved], ...]
    matched: tuple[str, ...]


def _distributions_request(
    spec: LayerSpec,
    interpreter: BaseInterpreter,
    bytecode: bool,
    pruning: Pruning,
    exclude_files: Sequence[str],
) -> Mapping[str, Any]:
    roots = [root for piece in spec.pieces for root in piece.distribution.roots]
    return {
        "distributions": [
            {
                "key": _key(piece),
                "file": piece.distribution.file,
                "name": piece.distribution.name,
                "part": piece.part,
            }
            for piece in spec.pieces
        ],
        "prune": fixed_rules(pruning.rules, {p.distribution.name for p in spec.pieces}),
        "exclude_files": patterns_for(exclude_files, roots),
        "virtual_environment": spec.kind == KIND_DISTRIBUTIONS,
        "bytecode": bytecode,
        "base": {
            **_base_facts(interpreter, VENV, COMMAND_DIRECTORY, interpreter.site_packages),
            "commands": sorted(set(LINKED_SCRIPTS) & set(interpreter.commands)),
        },
    }


async def write_distributions_layer(
    spec: LayerSpec,
    packed: PackedDistributions,
    base: PreparedBase,
    *,
    bytecode: bool,
    pruning: Pruning,
    exclude_files: Sequence[str],
) -> DistributionsLayer:
    """Return the layer of what `spec` has of distributions.

    Args:
        exclude_files: Absolute patterns. Those that cannot match what the layer holds do not change its cache key.
    """
    files = sorted({piece.distribution.file for piece in spec.pieces})
    inputs = await create_digest(
        CreateDigest(FileEntry(f"deps/{file}", packed.files[file]) for file in files)
    )
    request = json.dumps(
        _distributions_request(spec, base.interpreter, bytecode, pruning, exclude_files),
        sort_keys=True,
    )
    what = spec.name if len(spec.pieces) == 1 else f"{len(files)} distributions"
    written = await write_layer(
        LayerRequest(
            "distributions",
            request,
            inputs,
            base.interpreter,
            base.tools,
            f"Write the layer of {what}",
        ),
        **implicitly(),
    )
    facts = json.loads(written.facts)
    names = {_key(piece): piece.distribution.name for piece in spec.pieces}
    return DistributionsLayer(
        _built_layer(spec.name, spec.kind, written, spec),
        tuple(
            Pruned(row["rule"], names[row["key"]], Saved(row["bytes"], row["files"]))
            for row in facts["pruned"]
        ),
        tuple((row["part"], Saved(row["bytes"], row["files"])) for row in facts["parts"]),
        tuple(facts["matched"]),
    )


def attribute_checks(image: str, closure: ImageClosure) -> list[Mapping[str, str]]:
    """Return what to look up in the first-party modules of Serve applications."""
    return [
        {
            "file": entry.file.path,
            "path": entry.file.source,
            "module": entry.import_path.module,
            "attribute": entry.import_path.attribute,
            "named_by": f"{entry.named_by} of {image}",
        }
        for entry in closure.entries
        if entry.import_path and entry.file and entry.file in closure.files
    ]


async def _files_tree(files: Iterable[ClosureFile]) -> Digest:
    return await create_digest(
        CreateDigest(
            FileEntry(f"files/{file.path}", FileDigest(file.sha256, file.bytes), file.is_executable)
            for file in files
        )
    )


async def write_files_layers(
    files: Sequence[ClosureFile], base: PreparedBase, *, workdir: str
) -> tuple[BuiltLayer, ...]:
    """Return the layer of large files, if there are any."""
    if not files:
        return ()
    request = {
        "files": [file.path for file in files],
        "workdir": workdir,
        "base": _base_facts(base.interpreter, workdir),
    }
    written = await write_layer(
        LayerRequest(
            "files",
            json.dumps(request, sort_keys=True),
            await _files_tree(files),
            base.interpreter,
            base.tools,
            f"Write the layer of {len(files)} large files",
        ),
        **implicitly(),
    )
    return (_built_layer("files", KIND_FILES, written),)


@dataclass(frozen=True)
class SourcesLayer:
    """The layer of the first-party files.

    Attributes:
        dynamic_imports: What they import by name that is neither theirs nor Python's own.
        import_statements: The same of their import statements.
        uses: What they use of the distributions that have parts.
    """

    layer: BuiltLayer
    dynamic_imports: tuple[DynamicImport, ...]
    import_statements: tuple[ImportStatement, ...]
    uses: tuple[str, ...]


async def write_sources_layer(
    closure: ImageClosure,
    files: Sequence[ClosureFile],
    base: PreparedBase,
    *,
    image: str,
    workdir: str,
    bytecode: bool,
    owner: tuple[int, int],
    account: Optional[Account],
) -> SourcesLayer:
    """Return the layer of first-party files, of the user's account and home.

    Args:
        files: Those of the closure that are in no other layer.

    Raises:
        SlimRayImageError: If the module of an application is not valid or does not define the attribute. The process
            that compiles it is the one that can tell: it has the image's own Python.
    """
    interpreter = base.interpreter
    request = {
        "files": [file.path for file in files],
        "workdir": workdir,
        "bytecode": bytecode,
        "checks": attribute_checks(image, closure),
        "owner": owner,
        "account": asdict(account) if account else None,
        "base": {
            **_base_facts(interpreter, workdir, HOME, "/etc"),
            "passwd": interpreter.passwd if account else "",
            "group": interpreter.group if account else "",
        },
    }
    written = await write_layer(
        LayerRequest(
            "sources",
            json.dumps(request, sort_keys=True),
            await _files_tree(files),
            interpreter,
            base.tools,
            f"Write the layer of {len(files)} first-party files of {image}",
        ),
        **implicitly(),
    )
    facts = json.loads(written.facts)
    return SourcesLayer(
        _built_layer("sources", KIND_SOURCES, written),
        tuple(DynamicImport(**found) for found in facts["dynamic_imports"]),
        tuple(ImportStatement(**found) for found in facts["import_statements"]),
        tuple(facts["uses"]),
    )


def rules() -> Iterable[Any]:
    return collect_rules()
