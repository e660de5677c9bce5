"""`pants tailor`: a `slim_ray_image` beside each Python file that binds a Ray Serve application."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Iterable

from pants.backend.python.target_types import (
    PythonTestsGeneratingSourcesField,
    PythonTestUtilsGeneratingSourcesField,
)
from pants.core.goals.tailor import PutativeTarget, PutativeTargets, PutativeTargetsRequest
from pants.engine.rules import collect_rules
from pants.engine.target import AllUnexpandedTargets
from pants.engine.unions import UnionRule
from pants.source.filespec import FilespecMatcher
from pants.source.source_root import SourceRootsRequest

from slim_ray_image.compat import (
    concurrently,
    get_digest_contents,
    get_optional_source_roots,
    implicitly,
    path_globs_to_digest,
    rule,
)
from slim_ray_image.core.python.applications import bound_application, may_bind_application
from slim_ray_image.core.python.module_names import importable_module
from slim_ray_image.core.serve.import_paths import ImportPath
from slim_ray_image.serve_config import ImageConfigRequest, load_image_config
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import ServeAppField, ServeConfigField, SlimRayImageTarget

_NAME = "image"


@dataclass(frozen=True)
class PutativeSlimRayImagesRequest(PutativeTargetsRequest):
    """A request of `pants tailor` for the `slim_ray_image` targets that may be missing."""


async def _find_applications(request: PutativeTargetsRequest) -> dict[str, str]:
    """Map each Python file that binds a Serve application to the application's variable; test files are skipped."""
    tests = FilespecMatcher(
        [
            *PythonTestsGeneratingSourcesField.default,
            *PythonTestUtilsGeneratingSourcesField.default,
        ],
        [],
    )
    files = await get_digest_contents(await path_globs_to_digest(request.path_globs("*.py")))
    worth_parsing = [
        file
        for file in files
        if may_bind_application(file.content) and not tests.matches([os.path.basename(file.path)])
    ]
    found = {file.path: bound_application(file.content) for file in worth_parsing}
    return {path: name for path, name in found.items() if name}


async def _import_paths(applications: dict[str, str]) -> dict[str, ImportPath]:
    """Map each file to the import path of its Serve application; skip files that no import can name (my-app.py)."""
    roots = await get_optional_source_roots(SourceRootsRequest.for_files(applications))
    found = {}
    for path, name in applications.items():
        root = roots.path_to_optional_root[PurePath(path)].source_root
        if root:
            module = importable_module(PurePath(path).relative_to(root.path).as_posix())
            if module:
                found[path] = ImportPath(module, name)
    return found


async def _served_modules(existing: AllUnexpandedTargets) -> set[str]:
    """Return the modules with applications that existing targets already serve."""
    import_paths = [target.get(ServeAppField).import_path for target in existing]
    files = {target.get(ServeConfigField).file_path for target in existing}
    loaded = await concurrently(
        load_image_config(ImageConfigRequest(path), **implicitly())
        for path in sorted(path for path in files if path)
    )
    configs = [found.config.serve for found in loaded if found.config and found.config.serve]
    applications = [application for config in configs for application in config.applications]
    import_paths += [application.import_path for application in applications]
    return {import_path.module for import_path in import_paths if import_path}


@rule(desc="Find Ray Serve applications without an image")
async def find_putative_images(
    request: PutativeSlimRayImagesRequest,
    existing: AllUnexpandedTargets,
    subsystem: SlimRayImageSubsystem,
) -> PutativeTargets:
    """Propose a `slim_ray_image` for each module that binds a Serve application, unless a target already serves it."""
    if not subsystem.tailor:
        return PutativeTargets()
    import_paths = await _import_paths(await _find_applications(request))
    served_modules = await _served_modules(existing)
    return PutativeTargets(
        PutativeTarget.for_target_type(
            SlimRayImageTarget,
            path=os.path.dirname(path),
            name=_NAME,
            triggering_sources=(),
            kwargs={"serve_app": str(import_path)},
        )
        for path, import_path in sorted(import_paths.items())
        if import_path.module not in served_modules
    )


def rules() -> Iterable[Any]:
    return [
        *collect_rules(),
        UnionRule(PutativeTargetsRequest, PutativeSlimRayImagesRequest),
    ]
