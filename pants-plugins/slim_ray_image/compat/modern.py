"""Names of Pants' rules and types that the plugin uses, on Pants 2.30 and newer: imported from Pants itself."""

from __future__ import annotations

from pants.backend.python.dependency_inference.module_mapper import (
    map_module_to_address as map_module_to_address,
)
from pants.backend.python.dependency_inference.parse_python_dependencies import (
    ParsePythonDependenciesRequest,
    parse_python_dependencies,
)
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import PythonSourceField
from pants.backend.python.util_rules.pex import create_pex as create_pex
from pants.core.environments.target_types import EnvironmentField as EnvironmentField
from pants.core.goals.package import environment_aware_package as environment_aware_package
from pants.core.goals.test import ShowOutput, TestResult
from pants.core.util_rules.env_vars import environment_vars_subset as environment_vars_subset
from pants.core.util_rules.source_files import SourceFilesRequest, determine_source_files
from pants.core.util_rules.stripped_source_files import strip_source_roots as strip_source_roots
from pants.engine.addresses import Address
from pants.engine.download_file import download_file as download_file
from pants.engine.internals.graph import (
    determine_explicitly_provided_dependencies as determine_explicitly_provided_dependencies,
)
from pants.engine.internals.graph import find_owners as find_owners
from pants.engine.internals.graph import find_valid_field_sets as find_valid_field_sets
from pants.engine.internals.graph import hydrate_sources as hydrate_sources
from pants.engine.internals.graph import resolve_dependencies as resolve_dependencies
from pants.engine.internals.graph import resolve_targets as resolve_targets
from pants.engine.internals.graph import (
    resolve_unparsed_address_inputs as resolve_unparsed_address_inputs,
)
from pants.engine.intrinsics import add_prefix as add_prefix
from pants.engine.intrinsics import create_digest as create_digest
from pants.engine.intrinsics import digest_subset_to_digest as digest_subset_to_digest
from pants.engine.intrinsics import execute_process as execute_process
from pants.engine.intrinsics import get_digest_contents as get_digest_contents
from pants.engine.intrinsics import get_digest_entries as get_digest_entries
from pants.engine.intrinsics import merge_digests as merge_digests
from pants.engine.intrinsics import path_globs_to_digest as path_globs_to_digest
from pants.engine.intrinsics import remove_prefix as remove_prefix
from pants.engine.process import FallibleProcessResult
from pants.engine.rules import _uncacheable_rule as uncacheable_rule  # noqa: F401
from pants.engine.rules import concurrently as concurrently
from pants.engine.rules import implicitly as implicitly
from pants.engine.rules import rule as rule
from pants.engine.target import Target
from pants.source.source_root import get_optional_source_roots as get_optional_source_roots
from pants.util.pip_requirement import PipRequirement


async def python_imports(target: Target, python_setup: PythonSetup) -> dict[str, int]:
    """Map each module that a Python target's source imports, according to Pants' own inference, to its line."""
    files = await determine_source_files(SourceFilesRequest([target[PythonSourceField]]))
    parsed = await parse_python_dependencies(ParsePythonDependenciesRequest(files), **implicitly())
    (dependencies,) = parsed.path_to_deps.values()
    return {module: found.lineno for module, found in dependencies.imports.items()}


def requirement_name(requirement: PipRequirement) -> str:
    """Return the name of the distribution in a requirement, as written there."""
    return requirement.name


def test_result(
    result: FallibleProcessResult, address: Address, output_setting: ShowOutput
) -> TestResult:
    """Return the result of a test's process in the form in which `pants test` reports it."""
    return TestResult.from_fallible_process_result((result,), address, output_setting)
