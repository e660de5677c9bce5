"""`pants check`: prove without a container that an image contains everything it needs.

Three checks of the image that `build_image` makes:

- shared libraries, without running anything: the layers contain each library that their ELF files name;
- layers and config: KubeRay can start and probe the image;
- imports, in a sandbox with only the base's interpreter and the files of the image: each first-party module, each
  Serve application and each console script can be imported.

The content of a layer is cached by the layer's blob. So after an edit of a library, each image with this library lists
and unpacks one small layer and imports its first-party code again. Imports of console scripts are cached by the
distributions only.
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

from slim_ray_image.build_image import BuildImageRequest, BuiltImage, build_image
from slim_ray_image.compat import (
    add_prefix,
    concurrently,
    implicitly,
    merge_digests,
    rule,
)
from slim_ray_image.core.check.contract import Contract, contract_problems
from slim_ray_image.core.check.import_checks import (
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
from slim_ray_image.core.check.import_outcomes import (
    FIRST_PARTY,
    RESULT,
    ImportJob,
    ImportModulesRequest,
    ImportModulesResult,
)
from slim_ray_image.core.check.layer_contents import ImageContents
from slim_ray_image.core.check.shared_libraries import library_problems, missing_libraries
from slim_ray_image.core.errors import Problem, SlimRayImageError, count_of, format_problems
from slim_ray_image.core.image.oci import BuiltLayer, Descriptor, environment_of
from slim_ray_image.core.image_paths import VENV, site_packages_of
from slim_ray_image.core.layers.kinds import KIND_BASE, KIND_FILES, KIND_SOURCES
from slim_ray_image.core.platforms import parse_platform
from slim_ray_image.core.wire import from_json
from slim_ray_image.dependency_inference import module_owners
from slim_ray_image.field_sets import SlimRayImageFieldSet
from slim_ray_image.read_layers import contents_of, unpack_layers
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import SkipCheckField
from slim_ray_image.tools import BaseInterpreter, read_output, run_on_base

_OF_FIRST_PARTY = (KIND_FILES, KIND_SOURCES)


@dataclass(frozen=True)
class CheckSlimRayImageFieldSet(SlimRayImageFieldSet):
    """The fields of a target that `pants check` reads: those of `pants package`, because it checks the same image."""

    @classmethod
    def opt_out(cls, target: Target) -> bool:
        return target.get(SkipCheckField).value


class CheckSlimRayImagesRequest(CheckRequest):
    """A request of `pants check` to check the images of targets."""

    field_set_type = CheckSlimRayImageFieldSet
    tool_name = "slim-ray-image"


@dataclass(frozen=True)
class ImportsRequest:
    """A request to import modules in a process on this machine that has only the files of an image.

    Attributes:
        distributions: (layer, the layer's files in the virtual environment), lowest first.
        first_party: First-party files, relative to `workdir`.
        environment: Environment variables of the image config.
    """

    jobs: tuple[ImportJob, ...]
    distributions: tuple[tuple[Descriptor, Digest], ...]
    first_party: Digest
    environment: FrozenDict[str, str]
    workdir: str
    interpreter: BaseInterpreter
    description: str


@dataclass(frozen=True)
class CheckImageRequest:
    """A request for the check of one image."""

    field_set: CheckSlimRayImageFieldSet


@dataclass(frozen=True)
class ExplainedCheckRequest:
    """A request to check one image, with a result, not an error, if the image cannot be built."""

    field_set: CheckSlimRayImageFieldSet


@dataclass(frozen=True)
class ExplainedCheck:
    """The result of checking an image; if the image cannot be built, the reason is its only problem."""

    found: CheckedImage


@dataclass(frozen=True)
class CheckedImage:
    """The result of checking an image: a summary, the problems, and notes on imports that prove nothing.

    Attributes:
        summary: One line, printed if there are no problems.
        problems: Text of all problems; "" if there are none.
        notes: Imports that prove nothing, one line each.
    """

    summary: str
    problems: str
    notes: tuple[str, ...]


@rule
async def do_imports(request: ImportsRequest) -> ImportModulesResult:
    """Import modules of an image in one process, cached by the imports and by all files that they can import."""
    layers = {f"layer-{layer.hex[:12]}": tree for layer, tree in request.distributions}
    result = await run_on_base(
        "check.import_modules",
        ImportModulesRequest(
            jobs=request.jobs,
            layers=tuple(layers),
            venv=VENV,
            site_packages=posixpath.relpath(
                site_packages_of(request.interpreter.facts.python), VENV
            ),
            workdir=request.workdir,
            environment=dict(request.environment),
        ),
        request.interpreter,
        None,
        inputs=await add_prefix(AddPrefix(request.first_party, FIRST_PARTY)),
        immutable_inputs=layers,
        output_files=(RESULT,),
        description=request.description,
    )
    return from_json(ImportModulesResult, await read_output(result.output_digest, RESULT))


@dataclass(frozen=True)
class _Imported:
    """Results of imports that a process on this machine, not a container, has run with the files of an image."""

    imports: tuple[Import, ...]
    failures: tuple[Failure, ...]
    outside: frozenset[str]


def _jobs(imports: Sequence[Import]) -> tuple[ImportJob, ...]:
    return tuple(one.job for one in imports)


async def _import_all(
    image: str,
    config: Mapping[str, Any],
    layers: Sequence[BuiltLayer],
    interpreter: BaseInterpreter,
    first_party: Sequence[Import],
    scripts: Sequence[Import],
) -> _Imported:
    """Import an image's first-party code and Serve applications in one process, its console scripts in another."""
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
                _jobs(first_party),
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
                _jobs(scripts),
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
    for imports, result in zip((first_party, scripts), done):
        outside.update(result.outside)
        failures += (Failure(i, o) for i, o in zip(imports, result.outcomes) if o)
    return _Imported((*first_party, *scripts), tuple(failures), frozenset(outside))


async def _owners_of(modules: Sequence[str], resolve: str) -> Mapping[str, Sequence[str]]:
    """Map each module that an import did not find to the addresses of the targets in the resolve that own it."""
    found = await concurrently(module_owners(module, resolve) for module in modules)
    return {
        module: sorted(str(owner.address) for owner in owners)
        for module, owners in zip(modules, found)
    }


def _sources(built: BuiltImage) -> Mapping[str, str]:
    """Map each first-party file's path in the image, relative to the working directory, to its path in the monorepo."""
    return {file.path: file.source for file in built.closure.files}


def _first_party_imports(built: BuiltImage) -> tuple[Import, ...]:
    program, config = built.closure.program, built.closure.config
    is_by_path = bool(config and config.entry_point and config.entry_point.script)
    return (
        *first_party_imports(_sources(built), program.path if program else None, is_by_path),
        *application_imports(built.description.applications),
    )


def _summary(image: str, imported: _Imported, verdict: Verdict, contents: ImageContents) -> str:
    """Return the line for an image without problems, with the numbers of imports and ELF files that passed."""
    binaries = sum(1 for path in contents.own if contents.files.entries[path].elf)
    failed = len(verdict.unproven) + len(verdict.left_out)
    imports = count_of(len(imported.imports) - failed, "import")
    left_out = count_of(len(verdict.left_out), "console script")
    return (
        f"{image}: {imports} and {count_of(binaries, 'ELF file')} find what they need in the image"
        + (f"; {left_out} skipped, of extras or code that it lacks" if verdict.left_out else "")
    )


async def _problems(
    field_set: CheckSlimRayImageFieldSet,
    built: BuiltImage,
    config: Mapping[str, Any],
    contents: ImageContents,
    imported: _Imported,
    verdict: Verdict,
    node_libraries: Sequence[str],
) -> tuple[Problem, ...]:
    image, base = field_set.image, built.base
    missing = sorted({failure.missing for failure in verdict.faults if failure.missing})
    return (
        *library_problems(
            image,
            base.image.reference,
            missing_libraries(
                contents, built.image.platform, environment_of(config), node_libraries
            ),
        ),
        *import_problems(
            image,
            verdict.faults,
            workdir=config["WorkingDir"],
            sources=_sources(built),
            owners=await _owners_of(missing, built.closure.resolve),
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
                bool(built.description.applications),
            )
        ),
    )


@rule(desc="Check a slim_ray_image")
async def check_image(request: CheckImageRequest, subsystem: SlimRayImageSubsystem) -> CheckedImage:
    """Build an image and check its shared libraries, its imports, and whether KubeRay can start and probe it."""
    image = request.field_set.image
    built = await build_image(BuildImageRequest(request.field_set), **implicitly())
    config = json.loads(built.image.config)["config"]
    contents = await contents_of(built.layers, built.base)
    imported = await _import_all(
        image,
        config,
        built.layers,
        built.base.interpreter,
        _first_party_imports(built),
        script_imports(contents),
    )
    verdict = judge(
        imported.failures, frozenset(row.distribution for row in built.description.pruned)
    )
    problems = await _problems(
        request.field_set, built, config, contents, imported, verdict, subsystem.node_libraries
    )
    return CheckedImage(
        _summary(image, imported, verdict, contents),
        format_problems(problems),
        verdict.unproven,
    )


@rule
async def explain_check(request: ExplainedCheckRequest) -> ExplainedCheck:
    """Check an image; if it cannot be built, return the error as its problem, so that the other images are checked."""
    try:
        found = await check_image(CheckImageRequest(request.field_set), **implicitly())
    except SlimRayImageError as error:
        found = CheckedImage("", str(error), ())
    return ExplainedCheck(found)


def _foreign_platform(field_set: CheckSlimRayImageFieldSet, platform: Platform) -> Optional[str]:
    """Return the image's platform if this machine cannot run its interpreter."""
    of_image = parse_platform(field_set.platform)
    is_own = platform.value == f"{of_image.os}_{of_image.machine}"
    return None if is_own else field_set.platform


@rule(desc="Check slim_ray_image targets")
async def check_slim_ray_images(
    request: CheckSlimRayImagesRequest, subsystem: SlimRayImageSubsystem, platform: Platform
) -> CheckResults:
    """Check images; return a line for each image that passes or is skipped, and the problems of the others."""
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
