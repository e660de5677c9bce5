"""Stage 4 of 6: writes the layer of the first-party files under the working directory, the user's account and home.

In: the files. Out: layer.tar.gz and layer.json, which lists the files' imports and uses. This program also reports
faults in a module of a Serve application, because it runs on the image's own Python.
"""

from __future__ import annotations

import os
import sys
from typing import Iterable, Iterator, Sequence

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.folders import FILES
from slim_ray_image.core.layers.layer_blob import RESULT, LayerBlob
from slim_ray_image.core.layers.prune_rules import divided_distributions
from slim_ray_image.core.layers.sources_layer import (
    AttributeCheck,
    SourcesLayerRequest,
    SourcesLayerResult,
)
from slim_ray_image.core.python.applications import bound_application
from slim_ray_image.core.python.definitions import defined_names, unbound_definition
from slim_ray_image.core.python.dynamic_imports import (
    DynamicImport,
    find_dynamic_imports,
    unfollowed_imports,
)
from slim_ray_image.core.python.import_statements import (
    ImportStatement,
    find_import_statements,
    missing_imports,
)
from slim_ray_image.core.python.module_names import HeldModules, modules_of
from slim_ray_image.core.python.module_uses import find_uses
from slim_ray_image.sandbox.bytecode import compile_sources
from slim_ray_image.sandbox.layers.deterministic_tar import (
    Entry,
    LayerWriter,
    directories_of,
    write_entries,
)
from slim_ray_image.sandbox.layers.first_party import first_party_entry
from slim_ray_image.sandbox.layers.layer_program import write_blob
from slim_ray_image.sandbox.report import run_program, write_result


def _accounts(request: SourcesLayerRequest) -> Iterator[Entry]:
    """Yield the entries that add the image's user: /etc/passwd, /etc/group if the base lacks the group, the home."""
    account = request.account
    if not account:
        return
    for path, line, content in (
        ("/etc/passwd", account.passwd, request.passwd),
        ("/etc/group", account.group, request.group),
    ):
        if line:
            text = content if content.endswith("\n") or not content else content + "\n"
            yield Entry(path, content=(text + line + "\n").encode(errors="surrogateescape"))
    yield Entry(account.home, is_directory=True, uid=account.uid, gid=account.gid)


def _check_attribute(check: AttributeCheck) -> None:
    """Check that a module defines the Ray Serve application that `check` names; the module is parsed, not run."""
    with open(f"{FILES}/{check.file}", "rb") as file:
        source = file.read()
    try:
        names = defined_names(source)
    except SyntaxError as error:
        raise SlimRayImageError(
            f"{check.path} is not valid Python {sys.version_info[0]}.{sys.version_info[1]}.",
            evidence=[f"line {error.lineno}: {error.msg}"],
            fixes=[f"correct {check.path}"],
        ) from error
    if names is not None and check.attribute not in names:
        likely = sorted(name for name in names if not name.startswith("_"))
        raise SlimRayImageError(
            f"The module {check.module} does not define {check.attribute!r}, which {check.named_by} names.",
            evidence=[f"{check.path} defines {', '.join(likely) or 'no name'}"],
            fixes=[f"name one of these in {check.named_by}, or define {check.attribute!r}"],
        )
    _check_bound(check, source)


def _check_bound(check: AttributeCheck, source: bytes) -> None:
    """Check that an application is no class or deployment without `.bind()`, which `serve run` does not accept."""
    attribute = check.attribute
    line = unbound_definition(source, attribute)
    if line is None:
        return
    bound = bound_application(source)
    raise SlimRayImageError(
        f"{check.module}:{attribute} is not bound, so Ray Serve cannot serve it. {check.named_by} names it.",
        evidence=[f"{check.path}:{line} defines {attribute}, a class or a deployment"],
        fixes=[
            *([f"name {check.module}:{bound} instead, which is bound"] if bound else []),
            f"bind it in the module, for example with `app = {attribute}.bind()`, and name `app`",
        ],
    )


def _bytecode_of(entries: Iterable[Entry]) -> list[Entry]:
    """Compile the Python modules among `entries`, and return a tar entry for each pyc."""
    sources = []
    for entry in sorted(entries, key=lambda e: e.path):
        if entry.file and entry.path.endswith(".py"):
            with open(entry.file, "rb") as file:
                sources.append((entry.path, file.read()))
    return [Entry(path, file=pyc) for path, pyc in compile_sources([sources]).items()]


def _standard_modules() -> frozenset[str]:
    names = getattr(sys, "stdlib_module_names", None)
    if names is None:  # Python 3.9
        folder = os.path.dirname(os.__file__)
        files = [*os.listdir(folder), *os.listdir(f"{folder}/lib-dynload")]
        names = [*sys.builtin_module_names, *(file.split(".")[0] for file in files)]
    return frozenset([*names, "__main__"])


def _result(blob: LayerBlob, names: Sequence[str]) -> SourcesLayerResult:
    """Return the layer's description, with the sources' imports that are neither first-party nor standard library.

    It also has the names that the sources use in distributions with parts, such as Ray.

    Each source is read and parsed once.
    """
    dynamic: list[DynamicImport] = []
    statements: list[ImportStatement] = []
    uses: set[str] = set()
    for name in sorted(names):
        with open(f"{FILES}/{name}", "rb") as file:
            content = file.read()
        if name.endswith(".py"):
            dynamic += find_dynamic_imports(name, content)
            statements += find_import_statements(name, content)
        for package in divided_distributions():
            uses |= find_uses(name, content, package)
    held = HeldModules(modules=modules_of(names), packages=_standard_modules())
    return SourcesLayerResult(
        blob,
        tuple(unfollowed_imports(dynamic, held)),
        tuple(missing_imports(statements, held)),
        tuple(sorted(uses)),
    )


def _write(request: SourcesLayerRequest, writer: LayerWriter) -> None:
    workdir, (uid, gid) = request.workdir, request.owner
    files = [first_party_entry(name, workdir) for name in request.files]
    if request.bytecode:
        files += _bytecode_of(files)
    files.sort(key=lambda entry: entry.path)
    entries = [
        *_accounts(request),
        *(
            # The user owns the working directory and may write to it; root owns its content.
            (
                Entry(path, is_directory=True, uid=uid, gid=gid)
                if path == workdir
                else Entry(path, is_directory=True)
            )
            for path in directories_of((entry.path for entry in files), workdir)
        ),
        *files,
    ]
    write_entries(writer, entries, frozenset(request.base.directories))


def main(request: SourcesLayerRequest) -> None:
    """Write layer.tar.gz, the layer of first-party files, and layer.json, its description with the files' imports.

    Raises:
        SlimRayImageError: If the module of an application is not valid Python or does not define the application.
    """
    for check in request.checks:
        _check_attribute(check)
    blob, _ = write_blob(lambda writer: _write(request, writer), request.base)
    write_result(RESULT, _result(blob, request.files))


if __name__ == "__main__":
    run_program(main, SourcesLayerRequest)
