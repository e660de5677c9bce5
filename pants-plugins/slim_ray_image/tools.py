"""Functions that run the programs of `sandbox/`, and the Pythons and libraries that these programs need.

Three Pythons, kept apart:

- the *tool Python*: Pants' own Python for scripts. It fetches uv, reads the base image (`host_tools.lock`) and extracts
  the base's interpreter. Its output does not depend on its version.
- the *compile Python*: the base image's own interpreter, run in place (`base_tools.lock`). It packs, compiles and
  writes the layers, so that their bytes depend on locked inputs only.
- the *image Python*: the same interpreter, in a container.
"""

from __future__ import annotations

import ast
import posixpath
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Iterable, Mapping, Optional

from pants.core.util_rules.adhoc_binaries import PythonBuildStandaloneBinary
from pants.engine.fs import (
    EMPTY_DIGEST,
    CreateDigest,
    Digest,
    DigestSubset,
    FileContent,
    MergeDigests,
    PathGlobs,
    RemovePrefix,
)
from pants.engine.process import FallibleProcessResult, Process, ProcessCacheScope
from pants.engine.rules import collect_rules
from pants.util.resources import read_resource

from slim_ray_image.compat import (
    create_digest,
    digest_subset_to_digest,
    execute_process,
    get_digest_contents,
    implicitly,
    merge_digests,
    remove_prefix,
    rule,
)
from slim_ray_image.core.base.base_facts import BASE, BaseFacts
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.tools_request import InstallToolsRequest
from slim_ray_image.core.wheels.uv_call import UV_CACHE, FetchUvRequest, UvCall
from slim_ray_image.core.wire import to_json
from slim_ray_image.network import NetworkSettings
from slim_ray_image.sandbox.report import USER_ERROR

_PACKAGE = "slim_ray_image"
_REQUEST = "request.json"
# Path of uv's executable in the sandbox of a program that runs uv.
UV = "uv/uv"
_UV_LOCK = "uv_executable.lock"
_HOST_TOOLS_LOCK = "host_tools.lock"
# Host tools without a wheel, and the build tools for them.
_HOST_SOURCES_LOCK, _HOST_BUILD_LOCK = "host_sources.lock", "host_build.lock"
_BASE_TOOLS_LOCK = "base_tools.lock"


@dataclass(frozen=True)
class HostPythonRequest:
    """A request for the tool Python: the Python with which Pants runs its own scripts."""


@dataclass(frozen=True)
class HostPython:
    """The absolute path of the tool Python, with which Pants runs its own scripts."""

    path: str


@dataclass(frozen=True)
class UvRequest:
    """A request for the executable of uv, the installer of Python distributions."""


@dataclass(frozen=True)
class Uv:
    """A folder with `uv`, uv's executable for this host."""

    tree: Digest


@dataclass(frozen=True)
class HostToolsRequest:
    """A request for the Python libraries with which programs read an image registry."""


@dataclass(frozen=True)
class HostTools:
    """A folder for PYTHONPATH with the libraries with which programs read an image registry."""

    tree: Digest


@dataclass(frozen=True)
class ProgramRequest:
    """A request for the sources of a program of `sandbox/`, by folder and name, such as "layers.write_slice"."""

    name: str


@dataclass(frozen=True)
class Program:
    """The sources of a program of `sandbox/`: its module and the plugin's modules that it imports, and no others."""

    name: str
    tree: Digest


@dataclass(frozen=True)
class BaseInterpreter:
    """The base image's own Python interpreter, to run in a sandbox, and facts of the base's files.

    Attributes:
        tree: The interpreter, at its path in the image.
        facts: Facts of the base's files. They are compared but not hashed, because they have thousands of paths and
            each request for a layer is hashed; interpreters of different bases seldom have the same `tree`.
    """

    tree: Digest
    platform: str
    facts: BaseFacts = field(hash=False)

    @property
    def site_packages(self) -> str:
        """The directory in which the base's own Python looks for distributions, absolute in the image."""
        prefix = posixpath.dirname(posixpath.dirname(self.facts.python))
        return f"{prefix}/lib/{posixpath.basename(self.facts.python)}/site-packages"

    @property
    def python_minor(self) -> str:
        return ".".join(self.facts.python_version.split(".")[:2])


@dataclass(frozen=True)
class BaseToolsRequest:
    """A request for the tools that run on a base image's own Python. Bases with the same values share these tools."""

    python_minor: str
    glibc: str
    platform: str


@dataclass(frozen=True)
class BaseTools:
    """The tools that run on a base's own Python: a folder for PYTHONPATH (pex, isal, parsers), and uv's executable."""

    tree: Digest
    uv: Uv


def _imported_modules(source: str) -> set[str]:
    return {
        str(node.module)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{_PACKAGE}.")
    }


def _read_module(module: str) -> bytes:
    package, _, name = module.rpartition(".")
    content = read_resource(package, f"{name}.py")
    assert content is not None, module
    return content


def _packages_of(module: str) -> Iterable[str]:
    """Return the packages that contain a module, outermost first."""
    parts = module.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts)))


@rule
async def load_program(request: ProgramRequest) -> Program:
    """Return a program of `sandbox/` with the plugin's modules that it imports, found in the sources' syntax trees."""
    pending, contents = {f"{_PACKAGE}.sandbox.{request.name}"}, {}
    while pending:
        module = pending.pop()
        contents[module] = _read_module(module)
        if (
            module == f"{_PACKAGE}.sandbox.bytecode"
        ):  # It runs compile_bytecode as a process, without an import.
            pending.add(f"{_PACKAGE}.sandbox.compile_bytecode")
        pending |= _imported_modules(contents[module].decode()) - set(contents)
    packages = {package for module in contents for package in _packages_of(module)}
    tree = await create_digest(
        CreateDigest(
            [
                *(FileContent(f"{m.replace('.', '/')}.py", c) for m, c in sorted(contents.items())),
                *(FileContent(f"{p.replace('.', '/')}/__init__.py", b"") for p in sorted(packages)),
            ]
        )
    )
    return Program(request.name, tree)


def _lock_content(name: str) -> FileContent:
    content = read_resource(f"{_PACKAGE}.locks", name)
    assert content is not None, name
    return FileContent(name, content)


@rule
async def find_host_python(
    request: HostPythonRequest, python: PythonBuildStandaloneBinary
) -> HostPython:
    """Return the path of the Python with which Pants runs its own scripts."""
    return HostPython(python.path)


def raise_if_failed(result: FallibleProcessResult, description: str) -> None:
    """Raise the error that a program of `sandbox/` reported, if any.

    Raises:
        SlimRayImageError: If the program reported a user's mistake; the text is the program's whole message.
        RuntimeError: If the program itself failed.
    """
    stderr = result.stderr.decode(errors="replace")
    if result.exit_code == USER_ERROR:
        raise SlimRayImageError(stderr)
    if result.exit_code != 0:
        raise RuntimeError(
            f"{description} failed with exit code {result.exit_code}. This is a fault in slim_ray_image, not in "
            f"your code; report it with this output:\n\n{result.stdout.decode(errors='replace')}{stderr}"
        )


async def read_output(tree: Digest, path: str) -> bytes:
    """Return the content of one small file of a process's output."""
    file_tree = await digest_subset_to_digest(DigestSubset(tree, PathGlobs([path])))
    (file,) = await get_digest_contents(file_tree)
    return file.content


async def _program_inputs(program_name: str, request: Any, inputs: Digest) -> Digest:
    program = await load_program(ProgramRequest(program_name), **implicitly())
    request_tree = await create_digest(
        CreateDigest([FileContent(_REQUEST, to_json(request).encode())])
    )
    return await merge_digests(MergeDigests([inputs, program.tree, request_tree]))


async def run_on_host(
    program_name: str,
    request: Any,
    *,
    inputs: Digest = EMPTY_DIGEST,
    libraries: Digest = EMPTY_DIGEST,
    uv: Optional[Uv] = None,
    caches: Mapping[str, str] = MappingProxyType({}),
    output_files: tuple[str, ...] = (),
    output_directories: tuple[str, ...] = (),
    description: str,
    cache_scope: ProcessCacheScope = ProcessCacheScope.SUCCESSFUL,
    environment: Mapping[str, str] = MappingProxyType({}),
    reports_user_errors: bool = False,
) -> FallibleProcessResult:
    """Run a program of `sandbox/` with the tool Python (that of Pants' own scripts); raise the error that it reports.

    Args:
        libraries: A folder for PYTHONPATH; the program cannot import distributions that are installed beside Pants.
        uv: uv, for programs that run it as `uv/uv`.
        caches: Name of each named cache that the program uses -> its folder in the sandbox.
        environment: Environment variables in addition to those that every program gets.
        reports_user_errors: Whether the caller reports a user's mistake itself, from the result.
    """
    python = await find_host_python(HostPythonRequest(), **implicitly())
    result = await execute_process(
        Process(
            argv=(
                python.path,
                "-B",
                "-s",
                "-S",
                "-m",
                f"{_PACKAGE}.sandbox.{program_name}",
                _REQUEST,
            ),
            env={**environment, "PYTHONPATH": ".:libraries", "LC_ALL": "C.UTF-8"},
            input_digest=await _program_inputs(program_name, request, inputs),
            immutable_input_digests={"libraries": libraries, **({"uv": uv.tree} if uv else {})},
            output_files=output_files,
            output_directories=output_directories,
            append_only_caches=caches,
            description=description,
            cache_scope=cache_scope,
        ),
        **implicitly(),
    )
    if not (reports_user_errors and result.exit_code == USER_ERROR):
        raise_if_failed(result, description)
    return result


async def run_on_base(
    program_name: str,
    request: Any,
    interpreter: BaseInterpreter,
    tools: Optional[BaseTools],
    *,
    inputs: Digest = EMPTY_DIGEST,
    immutable_inputs: Mapping[str, Digest] = MappingProxyType({}),
    output_files: tuple[str, ...] = (),
    output_directories: tuple[str, ...] = (),
    description: str,
    uses_uv: bool = False,
) -> FallibleProcessResult:
    """Run a program of `sandbox/` on this machine with the base image's own Python; raise the error that it reports.

    The process has a fixed environment with a fixed hash seed, and nothing of this host is in its cache key.

    Args:
        tools: The base's tools; None for a program that must not import them.
        immutable_inputs: Folder -> its tree, for files that many processes share and none writes to.
    """
    shared = {BASE: interpreter.tree, **immutable_inputs}
    if tools:
        shared["tools"] = tools.tree
        if uses_uv:
            shared["uv"] = tools.uv.tree
    result = await execute_process(
        Process(
            argv=(
                *(f"{BASE}{interpreter.facts.launcher}", "-B", "-s"),
                *("-m", f"{_PACKAGE}.sandbox.{program_name}", _REQUEST),
            ),
            env={"PYTHONHASHSEED": "0", "PYTHONPATH": "tools", "LC_ALL": "C.UTF-8"},
            input_digest=await _program_inputs(program_name, request, inputs),
            immutable_input_digests=shared,
            output_files=output_files,
            output_directories=output_directories,
            append_only_caches={"slim_ray_image_uv": UV_CACHE} if uses_uv else None,
            description=description,
        ),
        **implicitly(),
    )
    raise_if_failed(result, description)
    return result


@rule(desc="Fetch uv")
async def fetch_uv(request: UvRequest, network: NetworkSettings) -> Uv:
    """Return the uv for this machine that the plugin's lockfile pins; fetched once for each content of the lockfile."""
    lock_tree = await create_digest(CreateDigest([_lock_content(_UV_LOCK)]))
    result = await run_on_host(
        "tools.fetch_uv",
        FetchUvRequest(_UV_LOCK, network.places),
        inputs=await merge_digests(MergeDigests([lock_tree, network.tree])),
        output_files=("uv",),
        description="Fetch uv",
    )
    return Uv(result.output_digest)


async def _install_tools(
    network: NetworkSettings,
    description: str,
    lockfile: str,
    *,
    sources: Optional[str] = None,
    build: Optional[str] = None,
    base: Optional[BaseToolsRequest] = None,
) -> tuple[Digest, Uv]:
    """Install tools from the plugin's lockfiles into a folder, for a base's Python or else that of Pants' scripts."""
    uv = await fetch_uv(UvRequest(), **implicitly())
    lock_tree = await create_digest(
        CreateDigest([_lock_content(name) for name in (lockfile, sources, build) if name])
    )
    result = await run_on_host(
        "tools.install_tools",
        InstallToolsRequest(
            lockfile,
            sources,
            build,
            base.python_minor if base else None,
            UvCall(
                UV, network.places, base.platform if base else None, base.glibc if base else None
            ),
        ),
        inputs=await merge_digests(MergeDigests([lock_tree, network.tree])),
        uv=uv,
        output_directories=("tools",),
        description=description,
    )
    return await remove_prefix(RemovePrefix(result.output_digest, "tools")), uv


@rule(desc="Prepare the host's tools of slim_ray_image")
async def prepare_host_tools(request: HostToolsRequest, network: NetworkSettings) -> HostTools:
    """Return the libraries with which programs read an image registry; installed once for each lockfile and Python."""
    tree, _ = await _install_tools(
        network,
        "Install the registry client of slim_ray_image",
        _HOST_TOOLS_LOCK,
        sources=_HOST_SOURCES_LOCK,
        build=_HOST_BUILD_LOCK,
    )
    return HostTools(tree)


@rule(desc="Prepare the base's tools of slim_ray_image")
async def prepare_base_tools(request: BaseToolsRequest, network: NetworkSettings) -> BaseTools:
    """Return the tools for bases with a certain Python and glibc; installed once for each content of the lockfile."""
    description = f"Install the tools of slim_ray_image for CPython {request.python_minor}"
    tree, uv = await _install_tools(network, description, _BASE_TOOLS_LOCK, base=request)
    return BaseTools(tree, uv)


def rules() -> Iterable[Any]:
    return collect_rules()
