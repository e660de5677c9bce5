"""Names of Pants' rules that the plugin calls, on Pants 2.17, which cannot call rules by name: implemented with `Get`.

Pants 2.17 finds a rule's `Get`s in the syntax tree of the rule, and in every coroutine function that the rule calls and
that Pants can look up in module globals or closure cells. So each name here is a small coroutine function around one
`Get`.
"""

from __future__ import annotations

import itertools
from typing import Any, Callable, Iterator

from pants.backend.python.dependency_inference.module_mapper import (
    PythonModuleOwners,
    PythonModuleOwnersRequest,
)
from pants.backend.python.dependency_inference.parse_python_dependencies import (
    ParsedPythonDependencies,
    ParsePythonDependenciesRequest,
)
from pants.backend.python.pip_requirement import PipRequirement
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.target_types import InterpreterConstraintsField, PythonSourceField
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import Pex, PexRequest
from pants.core.goals.package import BuiltPackage, EnvironmentAwarePackageRequest
from pants.core.goals.test import ShowOutput, TestResult
from pants.core.util_rules.environments import EnvironmentField as EnvironmentField
from pants.core.util_rules.source_files import SourceFiles
from pants.core.util_rules.stripped_source_files import StrippedSourceFiles
from pants.engine.addresses import Address, Addresses, UnparsedAddressInputs
from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestContents,
    DigestEntries,
    DigestSubset,
    DownloadFile,
    MergeDigests,
    PathGlobs,
    RemovePrefix,
)
from pants.engine.internals.graph import Owners, OwnersRequest
from pants.engine.internals.selectors import Get
from pants.engine.process import FallibleProcessResult, Process
from pants.engine.rules import _uncacheable_rule as _pants_uncacheable_rule
from pants.engine.rules import rule as _pants_rule
from pants.engine.target import (
    DependenciesRequest,
    ExplicitlyProvidedDependencies,
    FieldSetsPerTarget,
    FieldSetsPerTargetRequest,
    HydratedSources,
    HydrateSourcesRequest,
    Target,
    Targets,
)
from pants.source.source_root import OptionalSourceRootsResult, SourceRootsRequest

_IMPLICITLY = "__implicitly"


def implicitly(*args: Any) -> dict:
    """Return the input of a rule that is called by its name, as the keyword arguments of that call."""
    return {_IMPLICITLY: args}


def _input(args: tuple, kwargs: dict) -> Any:
    """Return the input of a by-name call, passed positionally or as `**implicitly(value_or_dict)`."""
    if args:
        return args[0]
    (value,) = kwargs[_IMPLICITLY]
    if isinstance(value, dict):
        (value,) = value
    return value


def _by_name(_output: type, _input_type: type, *others: type) -> Callable:
    """Return a coroutine function that calls Pants' rule that makes an `_output` from an `_input_type`.

    With `others`, the input may also be of one of these types: on modern Pants that is one rule, called as
    `name(**implicitly(value))`. The rule visitor finds `_output`, `_input_type`, `first` and `rest` as closure cells.
    """

    async def first(*args: Any, **kwargs: Any) -> Any:
        return await Get(_output, _input_type, _input(args, kwargs))

    if not others:
        return first

    rest = _by_name(_output, *others)

    async def either(*args: Any, **kwargs: Any) -> Any:
        if isinstance(_input(args, kwargs), _input_type):
            return await first(*args, **kwargs)
        return await rest(*args, **kwargs)

    return either


def _no_input(_output: type) -> Callable:
    async def call(**_: Any) -> Any:
        return await Get(_output)

    return call


class _Concurrently:
    """An awaitable that runs coroutines in lockstep and passes all of their pending `Get`s to Pants' engine at once."""

    def __init__(self, awaitables: tuple) -> None:
        self.awaitables = awaitables

    def __await__(self) -> Iterator[Any]:
        running = [awaitable.__await__() for awaitable in self.awaitables]
        results: list = [None] * len(running)
        inbox: dict = dict.fromkeys(range(len(running)))
        try:
            while inbox:
                waiting = []
                for index, value in inbox.items():
                    try:
                        waiting.append((index, running[index].send(value)))
                    except StopIteration as finished:
                        results[index] = finished.value
                gets = [get for _, pending in waiting for get in _as_tuple(pending)]
                answers: Iterator = iter((yield tuple(gets)) or () if gets else ())
                inbox = {
                    index: (
                        tuple(itertools.islice(answers, len(pending)))
                        if isinstance(pending, (tuple, list))
                        else next(answers)
                    )
                    for index, pending in waiting
                }
        finally:
            for coroutine in running:
                coroutine.close()
        return tuple(results)  # type: ignore[return-value]


def _as_tuple(pending: Any) -> tuple:
    return tuple(pending) if isinstance(pending, (tuple, list)) else (pending,)


def concurrently(*args: Any) -> _Concurrently:
    """Await several calls of Pants rules at once, passed as arguments or as one iterable."""
    if len(args) == 1 and not hasattr(args[0], "__await__"):
        return _Concurrently(tuple(args[0]))
    return _Concurrently(args)


# pants.engine.intrinsics
add_prefix = _by_name(Digest, AddPrefix)
create_digest = _by_name(Digest, CreateDigest)
remove_prefix = _by_name(Digest, RemovePrefix)
merge_digests = _by_name(Digest, MergeDigests)
digest_subset_to_digest = _by_name(Digest, DigestSubset)
get_digest_contents = _by_name(DigestContents, Digest)
get_digest_entries = _by_name(DigestEntries, Digest)
path_globs_to_digest = _by_name(Digest, PathGlobs)
execute_process = _by_name(FallibleProcessResult, Process)

# pants.engine.download_file
download_file = _by_name(Digest, DownloadFile)

# pants.engine.internals.graph
hydrate_sources = _by_name(HydratedSources, HydrateSourcesRequest)
find_valid_field_sets = _by_name(FieldSetsPerTarget, FieldSetsPerTargetRequest)
resolve_dependencies = _by_name(Addresses, DependenciesRequest)
determine_explicitly_provided_dependencies = _by_name(
    ExplicitlyProvidedDependencies, DependenciesRequest
)
find_owners = _by_name(Owners, OwnersRequest)
resolve_targets = _by_name(Targets, Addresses)
resolve_unparsed_address_inputs = _by_name(Addresses, UnparsedAddressInputs)

# pants.core
environment_aware_package = _by_name(BuiltPackage, EnvironmentAwarePackageRequest)
environment_vars_subset = _by_name(EnvironmentVars, EnvironmentVarsRequest)
strip_source_roots = _by_name(StrippedSourceFiles, SourceFiles)

# pants.source.source_root
get_optional_source_roots = _by_name(OptionalSourceRootsResult, SourceRootsRequest)

# pants.backend.python
create_pex = _by_name(Pex, PexRequest)
map_module_to_address = _by_name(PythonModuleOwners, PythonModuleOwnersRequest)


_parse_python_dependencies = _by_name(ParsedPythonDependencies, ParsePythonDependenciesRequest)


async def python_imports(target: Target, python_setup: PythonSetup) -> dict[str, int]:
    """Map each module that a Python target's source imports, according to Pants' own inference, to its line."""
    constraints = InterpreterConstraints.create_from_compatibility_fields(
        [target[InterpreterConstraintsField]], python_setup
    )
    parsed = await _parse_python_dependencies(
        ParsePythonDependenciesRequest(target[PythonSourceField], constraints)
    )
    return {module: found.lineno for module, found in parsed.imports.items()}


def requirement_name(requirement: PipRequirement) -> str:
    """Return the name of the distribution in a requirement, as written there."""
    return requirement.project_name


def test_result(
    result: FallibleProcessResult, address: Address, output_setting: ShowOutput
) -> TestResult:
    """Return the result of a test's process in the form in which `pants test` reports it."""
    return TestResult.from_fallible_process_result(result, address, output_setting)


def rule(*args: Any, **kwargs: Any) -> Callable:
    """Decorate a function as Pants' `@rule` does, but return a function that other rules can call by its name.

    The request is the rule's first parameter: `await my_rule(request, **implicitly())`. A rule without parameters is
    called as `await my_rule(**implicitly())`.
    """
    return _callable_by_name(_pants_rule, args, kwargs)


def uncacheable_rule(*args: Any, **kwargs: Any) -> Callable:
    """Decorate a rule that runs again in each session of pantsd, because its inputs are not watched by Pants."""
    return _callable_by_name(_pants_uncacheable_rule, args, kwargs)


def _callable_by_name(decorate: Callable, args: tuple, kwargs: dict) -> Callable:
    if kwargs or not args:
        return lambda function: _shim(decorate(**kwargs)(function))
    return _shim(decorate(args[0]))


def _shim(function: Any) -> Callable:
    task = function.rule
    shim: Any = (
        _by_name(task.output_type, task.input_selectors[0])
        if task.input_selectors
        else _no_input(task.output_type)
    )
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(shim, attribute, getattr(function, attribute))
    shim.rule = task  # collect_rules() looks for this attribute.
    shim.__wrapped_rule__ = function  # Not __wrapped__, which inspect.getsource follows.
    return shim
