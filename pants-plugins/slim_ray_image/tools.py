"""The tools that the sandboxed programs run with, and how such a program is run.

Three Pythons, kept apart:

- the *tool Python*: one of this host, in an environment of Pants (`host_tools.lock`). It reads the base image and
  installs the tools below. What it writes does not depend on which Python it is.
- the *compile Python*: the base image's own interpreter, run in place (`base_tools.lock`). It packs, compiles and
  writes the layers, so that their bytes hang on locked inputs alone.
- the *image Python*: the same interpreter, in a container.
"""

from __future__ import annotations

import ast
import json
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Mapping

from pants.backend.python.subsystems.repos import PythonRepos
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess
from pants.backend.python.util_rules.pex_requirements import EntireLockfile, Lockfile
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
from pants.option.global_options import GlobalOptions
from pants.util.frozendict import FrozenDict
from pants.util.resources import read_resource

from slim_ray_image.compat import (
    TOOL_INTERPRETER_CONSTRAINTS,
    create_digest,
    create_venv_pex,
    digest_subset_to_digest,
    execute_process,
    get_digest_contents,
    implicitly,
    merge_digests,
    remove_prefix,
    rule,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.report import USER_ERROR
from slim_ray_image.sandbox.run_uv import UV_CACHE

_PACKAGE = "slim_ray_image"
_REQUEST = "request.json"
_CERTIFICATES = "certificates.pem"
_BASE_TOOLS_LOCK = "base_tools.lock"


@dataclass(frozen=True)
class HostTools:
    """The environment of the tool Python: the registry client and uv."""

    venv_pex: VenvPex


@dataclass(frozen=True)
class ProgramRequest:
    """A request for the sources of a program of `sandbox/`."""

    name: str


@dataclass(frozen=True)
class Program:
    """A program's sources, itself and what it imports of ours, and nothing else: they are part of its cache key."""

    name: str
    tree: Digest


@dataclass(frozen=True)
class NetworkSettings:
    """What Pants was told about indexes and certificates."""

    indexes: tuple[str, ...]
    find_links: tuple[str, ...]
    certificates: str  # a path in the sandbox, or ""
    tree: Digest

    def to_json(self) -> Mapping[str, Any]:
        return {
            "indexes": self.indexes,
            "find_links": self.find_links,
            "certificates": self.certificates,
        }


@dataclass(frozen=True)
class BaseInterpreter:
    """The base's own interpreter, and what the build must know of the base's files (base.json of `extract_base`)."""

    tree: Digest
    launcher: str  # its path in the tree
    python: str  # the interpreter's path in the image
    python_version: str
    glibc: str
    platform: str
    marker_environment: FrozenDict[str, str]
    directories: frozenset[str]
    commands: tuple[str, ...]
    passwd: str
    group: str
    layer_sizes: str  # JSON: unpacked_bytes and file_count of each layer of the base

    @property
    def site_packages(self) -> str:
        """Where the base's own Python looks for distributions."""
        prefix, name = posixpath.dirname(posixpath.dirname(self.python)), posixpath.basename(
            self.python
        )
        return f"{prefix}/lib/{name}/site-packages"

    @property
    def python_minor(self) -> str:
        return ".".join(self.python_version.split(".")[:2])


@dataclass(frozen=True)
class BaseToolsRequest:
    """A request for the tools that run on the base's interpreter. Bases that differ in nothing named share them."""

    python_minor: str
    glibc: str
    platform: str


@dataclass(frozen=True)
class BaseTools:
    """A folder for PYTHONPATH: pex, isal, and uv's executable in `bin`."""

    tree: Digest


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


@rule
async def load_program(request: ProgramRequest) -> Program:
    """The program `sandbox/<name>.py` with the modules it imports, found in its own text."""
    pending, contents = {f"{_PACKAGE}.sandbox.{request.name}"}, {}
    if request.name in ("extract_base", "write_layer"):  # which run it as a process of its own
        pending.add(f"{_PACKAGE}.sandbox.compile_bytecode")
    while pending:
        module = pending.pop()
        contents[module] = _read_module(module)
        pending |= _imported_modules(contents[module].decode()) - set(contents)
    packages = {module.rpartition(".")[0] for module in contents} | {_PACKAGE}
    tree = await create_digest(
        CreateDigest(
            [
                *(FileContent(f"{m.replace('.', '/')}.py", c) for m, c in sorted(contents.items())),
                *(FileContent(f"{p.replace('.', '/')}/__init__.py", b"") for p in sorted(packages)),
            ]
        )
    )
    return Program(request.name, tree)


@rule
async def find_network_settings(
    python_repos: PythonRepos, global_options: GlobalOptions
) -> NetworkSettings:
    """Indexes of `[python-repos]`, and the content (not the path) of `[GLOBAL].ca_certs_path`."""
    tree = EMPTY_DIGEST
    if global_options.ca_certs_path:
        content = Path(global_options.ca_certs_path).read_bytes()
        tree = await create_digest(CreateDigest([FileContent(_CERTIFICATES, content)]))
    return NetworkSettings(
        tuple(python_repos.indexes),
        tuple(python_repos.find_links),
        _CERTIFICATES if global_options.ca_certs_path else "",
        tree,
    )


@rule(desc="Prepare the host's tools of slim_ray_image")
async def prepare_host_tools() -> HostTools:
    """A virtual environment of any suitable Python of this host; made once for a lock."""
    venv_pex = await create_venv_pex(
        **implicitly(
            PexRequest(
                output_filename="slim_ray_image_host_tools.pex",
                internal_only=True,
                requirements=EntireLockfile(
                    Lockfile(
                        url=f"resource://{_PACKAGE}.locks/host_tools.lock",
                        url_description_of_origin="the host's tools of slim_ray_image",
                        resolve_name="slim-ray-image-host-tools",
                    )
                ),
                interpreter_constraints=InterpreterConstraints(TOOL_INTERPRETER_CONSTRAINTS),
            )
        )
    )
    return HostTools(venv_pex)


def _request_content(request: Mapping[str, Any]) -> FileContent:
    return FileContent(_REQUEST, json.dumps(request, sort_keys=True).encode())


def raise_if_failed(result: FallibleProcessResult, description: str) -> None:
    """Raise what a program of `sandbox/` reported.

    Raises:
        SlimRayImageError: If it was a user's mistake; its text is the program's whole message.
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


async def run_on_host(
    program_name: str,
    request: Mapping[str, Any],
    *,
    inputs: Digest = EMPTY_DIGEST,
    output_files: tuple[str, ...] = (),
    output_directories: tuple[str, ...] = (),
    description: str,
    uses_uv: bool = False,
    cache_scope: ProcessCacheScope = ProcessCacheScope.SUCCESSFUL,
) -> FallibleProcessResult:
    """Run a program of `sandbox/` with the tool Python and raise what it reports."""
    tools = await prepare_host_tools(**implicitly())
    program = await load_program(ProgramRequest(program_name), **implicitly())
    request_tree = await create_digest(CreateDigest([_request_content(request)]))
    input_digest = await merge_digests(MergeDigests([inputs, program.tree, request_tree]))
    result = await execute_process(
        **implicitly(
            VenvPexProcess(
                tools.venv_pex,
                argv=("-m", f"{_PACKAGE}.sandbox.{program_name}", _REQUEST),
                extra_env={"PEX_EXTRA_SYS_PATH": "."},
                input_digest=input_digest,
                output_files=output_files,
                output_directories=output_directories,
                append_only_caches={"slim_ray_image_uv": UV_CACHE} if uses_uv else None,
                description=description,
                cache_scope=cache_scope,
            )
        )
    )
    raise_if_failed(result, description)
    return result


async def run_on_base(
    program_name: str,
    request: Mapping[str, Any],
    interpreter: BaseInterpreter,
    tools: BaseTools,
    *,
    inputs: Digest = EMPTY_DIGEST,
    output_files: tuple[str, ...] = (),
    output_directories: tuple[str, ...] = (),
    description: str,
    uses_uv: bool = False,
) -> FallibleProcessResult:
    """Run a program of `sandbox/` with the compile Python and raise what it reports.

    A plain process with an environment of its own: a fixed hash seed, and nothing of this host in its cache key.
    """
    program = await load_program(ProgramRequest(program_name), **implicitly())
    request_tree = await create_digest(CreateDigest([_request_content(request)]))
    input_digest = await merge_digests(MergeDigests([inputs, program.tree, request_tree]))
    result = await execute_process(
        Process(
            argv=(
                *(f"base{interpreter.launcher}", "-B", "-s"),
                *("-m", f"{_PACKAGE}.sandbox.{program_name}", _REQUEST),
            ),
            env={"PYTHONHASHSEED": "0", "PYTHONPATH": "tools", "LC_ALL": "C.UTF-8"},
            input_digest=input_digest,
            immutable_input_digests={"base": interpreter.tree, "tools": tools.tree},
            output_files=output_files,
            output_directories=output_directories,
            append_only_caches={"slim_ray_image_uv": UV_CACHE} if uses_uv else None,
            description=description,
        ),
        **implicitly(),
    )
    raise_if_failed(result, description)
    return result


@rule(desc="Prepare the base's tools of slim_ray_image")
async def prepare_base_tools(request: BaseToolsRequest, network: NetworkSettings) -> BaseTools:
    """The tools for a Python and a glibc; made once for a lock."""
    lock = read_resource(f"{_PACKAGE}.locks", _BASE_TOOLS_LOCK)
    assert lock is not None
    lock_tree = await create_digest(CreateDigest([FileContent(_BASE_TOOLS_LOCK, lock)]))
    inputs = await merge_digests(MergeDigests([lock_tree, network.tree]))
    result = await run_on_host(
        "install_tools",
        {
            "lockfile": _BASE_TOOLS_LOCK,
            "python_version": request.python_minor,
            "glibc": request.glibc,
            "platform": request.platform,
            **network.to_json(),
        },
        inputs=inputs,
        output_directories=("tools",),
        description=f"Install the tools of slim_ray_image for CPython {request.python_minor}",
        uses_uv=True,
    )
    return BaseTools(await remove_prefix(RemovePrefix(result.output_digest, "tools")))


def rules() -> Iterable[Any]:
    return collect_rules()
