"""`pants check`: that an image holds all that it needs, proven without a container.

Three looks at the image that `build_image` makes:

- at its layers, without running anything: the shared libraries that their ELF files name are there;
- at its layers and config: KubeRay can start and probe it;
- at its imports, in a sandbox with the base's interpreter and the files of the image alone: each first-party module,
  each Serve application and each console script can be imported.

What is read of a layer is keyed by its blob, so an edit of a library lists and unpacks one small layer anew for each
image that has it, and imports what is first-party there; console scripts are keyed by the distributions alone.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional, Sequence

from pants.core.goals.check import CheckRequest, CheckResult, CheckResults
from pants.engine.fs import (
    EMPTY_DIGEST,
    AddPrefix,
    Digest,
    MergeDigests,
)
from pants.engine.platform import Platform
from pants.engine.rules import collect_rules
from pants.engine.target import Target
from pants.engine.unions import UnionRule
from pants.util.frozendict import FrozenDict

from slim_ray_image.base_image import prepare_base
from slim_ray_image.build_image import (
    BuildImageRequest,
    SlimRayImageFieldSet,
    base_image_request,
    build_image,
    closure_request,
)
from slim_ray_image.closure import resolve_image_closure
from slim_ray_image.compat import (
    add_prefix,
    concurrently,
    implicitly,
    merge_digests,
    rule,
)
from slim_ray_image.core.contract import Contract, contract_problems
from slim_ray_image.core.errors import SlimRayImageError, count_of
from slim_ray_image.core.image_paths import VENV, site_packages_of
from slim_ray_image.core.import_checks import (
    Failure,
    Import,
    Verdict,
    application_imports,
    first_party_imports,
    import_problems,
    judge,
    left_out_modules,
    outside_problems,
    script_imports,
)
from slim_ray_image.core.layer_contents import ImageContents
from slim_ray_image.core.layers import KIND_BASE, KIND_FILES, KIND_SOURCES
from slim_ray_image.core.oci import Descriptor, environment_of
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.problems import Problem, format_problems
from slim_ray_image.core.serve_config import ImageConfig
from slim_ray_image.core.shared_libraries import library_problems, missing_libraries
from slim_ray_image.dependency_inference import module_owners
from slim_ray_image.read_layers import ImageLayer, contents_of, layers_of, unpack_layers
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import SkipCheckField
from slim_ray_image.tools import BaseInterpreter, read_output, run_on_base

_OF_FIRST_PARTY = (KIND_FILES, KIND_SOURCES)


@dataclass(frozen=True)
class CheckSlimRayImageFieldSet(SlimRayImageFieldSet):
    """The same fields: what is checked is what is packaged."""

    @classmethod
    def opt_out(cls, target: Target) -> bool:
        return target.get(SkipCheckField).value


class CheckSlimRayImagesRequest(CheckRequest):
    """A request for the check of images."""

    field_set_type = CheckSlimRayImageFieldSet
    tool_name = "slim-ray-image"


@dataclass(frozen=True)
class ImportsRequest:
    """A request to do imports.

    Attributes:
        imports: JSON, as `sandbox/import_modules.py` takes them.
        distributions: (layer, its files in the virtual environment), lowest first.
        first_party: The files below `workdir`.
        environment: Of the image config.
    """

    imports: str
    distributions: tuple[tuple[Descriptor, Digest], ...]
    first_party: Digest
    environment: FrozenDict[str, str]
    workdir: str
    interpreter: BaseInterpreter
    description: str


@dataclass(frozen=True)
class ImportOutcomes:
    """What became of imports: the JSON of `sandbox/import_modules.py`."""

    facts: str


@dataclass(frozen=True)
class CheckImageRequest:
    """A request for the check of one image."""

    field_set: CheckSlimRayImageFieldSet


@dataclass(frozen=True)
class ExplainedCheckRequest:
    """A request for the check of one image that may fail to build."""

    field_set: CheckSlimRayImageFieldSet


@dataclass(frozen=True)
class ExplainedCheck:
    """What a check found, or why there is nothing to check."""

    found: CheckedImage


@dataclass(frozen=True)
class CheckedImage:
    """What a check found.

    Attributes:
        summary: A line, of an image without problems.
        problems: Text; "" of none.
        notes: What is not proven, a line each.
    """

    summary: str
    problems: str
    notes: tuple[str, ...]


@rule
async def do_imports(request: ImportsRequest) -> ImportOutcomes:
    """One process, keyed by what it imports and all that it can import from."""
    layers = {f"layer-{layer.hex[:12]}": tree for layer, tree in request.distributions}
    result = await run_on_base(
        "import_modules",
        {
            "jobs": json.loads(request.imports),
            "layers": list(layers),
            "venv": VENV,
            "site_packages": posixpath.relpath(
                site_packages_of(request.interpreter.facts.python), VENV
            ),
            "workdir": request.workdir,
            "environment": dict(request.environment),
        },
        request.interpreter,
        None,
        inputs=await add_prefix(AddPrefix(request.first_party, "first_party")),
        immutable_inputs=layers,
        output_files=("imports.json",),
        description=request.description,
    )
    facts = await read_output(result.output_digest, "imports.json")
    return ImportOutcomes(facts.decode())


@dataclass(frozen=True)
class _Imported:
    """What became of the imports of an image."""

    imports: tuple[Import, ...]
    failures: tuple[Failure, ...]
    outside: frozenset[str]


def _imports_json(imports: Sequence[Import]) -> str:
    return json.dumps([one.to_json() for one in imports], sort_keys=True)


async def _import_all(
    image: str,
    config: Mapping[str, Any],
    layers: Sequence[ImageLayer],
    interpreter: BaseInterpreter,
    first_party: Sequence[Import],
    scripts: Sequence[Import],
) -> _Imported:
    """Import first-party code and applications in one process, console scripts in another."""
    workdir = config["WorkingDir"]
    distributions, files = await concurrently(
        unpack_layers(
            [layer for layer in layers if layer.kind not in (KIND_BASE, *_OF_FIRST_PARTY)],
            VENV,
            interpreter,
        ),
        unpack_layers(
            [layer for layer in layers if layer.kind in _OF_FIRST_PARTY], workdir, interpreter
        ),
    )
    first_party_tree = await merge_digests(MergeDigests(tree for _, tree in files))
    done = await concurrently(
        do_imports(
            ImportsRequest(
                _imports_json(first_party),
                distributions,
                first_party_tree,
                FrozenDict(environment_of(config)),
                workdir,
                interpreter,
                f"Import the first-party code of {image}",
            ),
            **implicitly(),
        ),
        do_imports(
            ImportsRequest(
                _imports_json(scripts),
                distributions,
                EMPTY_DIGEST,
                FrozenDict(),
                "/",
                interpreter,
                f"Import the console scripts of {image}",
            ),
            **implicitly(),
        ),
    )
    failures: list[Failure] = []
    outside: set[str] = set()
    for imports, outcomes in zip((first_party, scripts), done):
        facts = json.loads(outcomes.facts)
        outside.update(facts["outside"])
        failures += (Failure(i, o) for i, o in zip(imports, facts["outcomes"]) if o)
    return _Imported((*first_party, *scripts), tuple(failures), frozenset(outside))


async def _owners_of(modules: Sequence[str], resolve: str) -> Mapping[str, Sequence[str]]:
    """Missing module -> the targets of the resolve that have it."""
    found = await concurrently(module_owners(module, resolve) for module in modules)
    return {
        module: sorted(str(owner.address) for owner in owners)
        for module, owners in zip(modules, found)
    }


def _is_run_by_path(config: Optional[ImageConfig]) -> bool:
    return bool(config and config.entry_point and config.entry_point.script)


def _summary(image: str, imported: _Imported, verdict: Verdict, contents: ImageContents) -> str:
    """One line of what was looked at."""
    binaries = sum(1 for path in contents.own if contents.files.entries[path].elf)
    failed = len(verdict.unproven) + len(verdict.left_out)
    imports = count_of(len(imported.imports) - failed, "import")
    left_out = count_of(len(verdict.left_out), "console script")
    return (
        f"{image}: {imports} and {count_of(binaries, 'ELF file')} find what they need in the image"
        + (f"; {left_out} of what is not in it left out" if verdict.left_out else "")
    )


@rule(desc="Check a slim_ray_image")
async def check_image(request: CheckImageRequest, subsystem: SlimRayImageSubsystem) -> CheckedImage:
    """All three looks; each costly step is a cached process of its own."""
    field_set = request.field_set
    image = str(field_set.address)
    base_request = base_image_request(field_set, subsystem)
    built, base, closure = await concurrently(
        build_image(BuildImageRequest(field_set), **implicitly()),
        prepare_base(base_request, **implicitly()),
        resolve_image_closure(closure_request(field_set), **implicitly()),
    )
    description = json.loads(built.description)
    config = json.loads(built.image.config)["config"]
    # Not those of the closure, of which `exclude_files` may take some.
    sources = {row["path"]: row["source"] for row in description["files"]}
    layers = layers_of(built)
    contents = await contents_of(layers, base)
    imported = await _import_all(
        image,
        config,
        layers,
        base.interpreter,
        (
            *first_party_imports(
                sources,
                closure.program.path if closure.program else None,
                _is_run_by_path(closure.config),
            ),
            *application_imports(description["applications"]),
        ),
        script_imports(contents),
    )
    verdict = judge(
        imported.failures, frozenset(row["distribution"] for row in description["pruned"])
    )
    missing = sorted({failure.missing for failure in verdict.faults if failure.missing})
    problems: tuple[Problem, ...] = (
        *library_problems(
            image,
            base.image.reference,
            missing_libraries(
                contents,
                parse_platform(base_request.platform),
                environment_of(config),
                subsystem.node_libraries,
            ),
        ),
        *import_problems(
            image,
            verdict.faults,
            workdir=config["WorkingDir"],
            sources=sources,
            owners=await _owners_of(missing, closure.resolve),
            distributions=contents.distributions,
            left_out=left_out_modules(
                missing, contents, site_packages_of(base.interpreter.facts.python)
            ),
        ),
        *outside_problems(image, sorted(imported.outside)),
        *contract_problems(
            Contract(
                image,
                contents,
                config,
                base.interpreter.facts.passwd,
                bool(description["applications"]),
            )
        ),
    )
    return CheckedImage(
        _summary(image, imported, verdict, contents),
        format_problems(problems),
        verdict.unproven,
    )


@rule
async def explain_check(request: ExplainedCheckRequest) -> ExplainedCheck:
    """The check; an image that cannot be built has failed it, and the others are checked all the same."""
    try:
        found = await check_image(CheckImageRequest(request.field_set), **implicitly())
    except SlimRayImageError as error:
        found = CheckedImage("", str(error), ())
    return ExplainedCheck(found)


def _foreign_platform(field_set: CheckSlimRayImageFieldSet, platform: Platform) -> Optional[str]:
    """The image's platform, where this machine cannot run its interpreter."""
    (name,) = field_set.platforms.value or ()
    of_image = parse_platform(name)
    return None if platform.value == f"{of_image.os}_{of_image.machine}" else name


@rule(desc="Check slim_ray_image targets")
async def check_slim_ray_images(
    request: CheckSlimRayImagesRequest, subsystem: SlimRayImageSubsystem, platform: Platform
) -> CheckResults:
    """A line for each image that passes; the problems of the others."""
    if subsystem.skip_check or not request.field_sets:
        return CheckResults([], checker_name=request.tool_name)
    lines, problems, runnable = [], [], []
    for field_set in request.field_sets:
        foreign = _foreign_platform(field_set, platform)
        if foreign:
            lines.append(
                f"{field_set.address}: skipped: {foreign} does not run on {platform.value}"
            )
        else:
            runnable.append(field_set)
    checked = await concurrently(
        explain_check(ExplainedCheckRequest(field_set), **implicitly()) for field_set in runnable
    )
    for field_set, found in zip(runnable, (check.found for check in checked)):
        lines += [] if found.problems else [found.summary]
        lines += [f"{field_set.address}: {note}" for note in found.notes]
        problems += [found.problems] if found.problems else []
    return CheckResults(
        [CheckResult(1 if problems else 0, "\n".join(lines), "\n\n".join(dict.fromkeys(problems)))],
        checker_name=request.tool_name,
    )


def rules() -> Iterable[Any]:
    return [*collect_rules(), UnionRule(CheckRequest, CheckSlimRayImagesRequest)]
