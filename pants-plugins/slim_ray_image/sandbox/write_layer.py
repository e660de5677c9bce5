"""Stage 4 of 6: one layer, from files to blob, and nothing of any other layer.

In: a request that names the layer's files, and the files. Out: layer.tar.gz and layer.json. Four kinds:

- distributions: zips of a packed PEX's `.deps`, installed into the virtual environment at its fixed path, console
  scripts included. Layout of a zip: Pex's, an installed wheel with its scripts and data under `.prefix`; layout in the
  image: https://packaging.python.org/en/latest/specifications/recording-installed-packages/.
- files: large first-party files under the working directory.
- runtime: what Ray's operator or every start wants and the base lacks (see `runtime_layer`).
- sources: the other first-party files under it, the user's account and home.

`.layout.json` and `.prefix` are Pex's installed-wheel format: https://github.com/pex-tool/pex/blob/v2.105.2/pex/pep_427.py.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import posixpath
import stat
import sys
import zipfile
from collections import defaultdict
from contextlib import closing
from dataclasses import asdict
from typing import Any, Iterable, Iterator, Mapping, Sequence

from slim_ray_image.core.applications import bound_application
from slim_ray_image.core.dynamic_imports import (
    DynamicImport,
    HeldModules,
    find_dynamic_imports,
    modules_of,
    unfollowed_imports,
)
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.exclude_files import matching_pattern
from slim_ray_image.core.import_paths import defined_names, unbound_definition
from slim_ray_image.core.import_statements import (
    ImportStatement,
    find_import_statements,
    missing_imports,
)
from slim_ray_image.core.layers import (
    COMMAND_DIRECTORY,
    LINKED_SCRIPTS,
    VENV,
    missing_parents,
    site_packages_of,
)
from slim_ray_image.core.module_uses import find_uses
from slim_ray_image.core.oci import MEDIA_TYPE_LAYER_GZIP
from slim_ray_image.core.prune_rules import divided_distributions
from slim_ray_image.sandbox.bytecode import compile_sources
from slim_ray_image.sandbox.deps_zip import (
    console_scripts,
    has_place,
    metadata_path,
    place_of,
)
from slim_ray_image.sandbox.deterministic_tar import (
    Entry,
    LayerWriter,
    directories_of,
    write_entries,
)
from slim_ray_image.sandbox.prune_files import File, prune_distribution
from slim_ray_image.sandbox.report import run_program, write_json
from slim_ray_image.sandbox.runtime_layer import write_runtime

_BLOB = "layer.tar.gz"
_SCRIPT = """\
#!{python}
import sys
from {module} import {attribute}
if __name__ == "__main__":
    sys.argv[0] = sys.argv[0].removesuffix(".exe")
    sys.exit({call}())
"""


class _InstalledDistribution:
    """One zip of `.deps`, or a part of it, as the files it becomes in the image."""

    def __init__(self, item: Mapping[str, str], request: Mapping[str, Any]) -> None:
        site_packages = site_packages_of(request["base"]["python"])
        self._site_packages = site_packages
        with zipfile.ZipFile(f"deps/{item['file']}") as wheel:
            self._dist_info = posixpath.dirname(metadata_path(wheel))
            self.scripts = {} if item["part"] else console_scripts(wheel)
            record = f"{self._dist_info}/RECORD"
            has_record = record in wheel.namelist() and not item["part"]
            files = self._read(wheel, record)
        self.pruned = prune_distribution(
            item["name"],
            files,
            site_packages,
            rules=request["prune"],
            patterns=request["exclude_files"],
            part=item["part"],
        )
        self.files = {
            path: (file.content, file.is_executable) for path, file in self.pruned.files.items()
        }
        if has_record:
            self.files[f"{site_packages}/{record}"] = (self._record(), False)
        self.unpacked_bytes = sum(len(content) for content, _ in self.files.values())

    def _read(self, wheel: zipfile.ZipFile, record: str) -> dict[str, File]:
        """Return path in the image -> the file there, for all of the zip."""
        files = {}
        for info in wheel.infolist():
            if info.is_dir() or not has_place(info.filename, record):
                continue
            target = place_of(info.filename, self._site_packages)
            is_executable = bool((info.external_attr >> 16) & stat.S_IXUSR)
            files[target] = File(
                self._content(target, wheel.read(info)),
                is_executable or target.startswith(f"{VENV}/bin/"),
            )
        return files

    def _content(self, place: str, content: bytes) -> bytes:
        """Return the bytes that a file of the zip has in the image: scripts name their interpreter."""
        directory, script = posixpath.split(place)
        if directory != f"{VENV}/bin":
            return content
        if script in self.scripts:
            return _entry_point_script(self.scripts[script])
        if content.startswith(b"#!python"):
            return content.replace(b"#!python", f"#!{VENV}/bin/python".encode(), 1)
        return content

    def _record(self) -> bytes:
        """RECORD of what is really there, paths relative to site-packages (PEP 376's format)."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for path, (content, _) in sorted(self.files.items()):
            digest = (
                base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            )
            relative = posixpath.relpath(path, self._site_packages)
            writer.writerow([relative, f"sha256={digest}", len(content)])
        writer.writerow([f"{self._dist_info}/RECORD", "", ""])
        return text.getvalue().encode()


def _entry_point_script(target: str) -> bytes:
    module, _, attributes = target.partition(":")
    module, attributes = module.strip(), attributes.strip()
    return _SCRIPT.format(
        python=f"{VENV}/bin/python",
        module=module,
        attribute=attributes.split(".")[0],
        call=attributes,
    ).encode()


def _with_bytecode(
    files: Mapping[str, tuple[bytes, bool]], bytecode: bool
) -> dict[str, tuple[bytes, bool]]:
    """Return `files` and, when asked for, the pyc of each module among them."""
    result = dict(files)
    if bytecode:
        sources = [(path, files[path][0]) for path in sorted(files) if path.endswith(".py")]
        result.update((path, (pyc, False)) for path, pyc in compile_sources(sources).items())
    return result


def _virtual_environment(base: Mapping[str, Any], site_packages: str) -> Iterator[Entry]:
    """The environment itself: PEP 405's pyvenv.cfg, its interpreter, and a way in for the base's own `python`."""
    python = base["python"]
    name = posixpath.basename(python)
    config = (
        f"home = {posixpath.dirname(python)}\n"
        "include-system-site-packages = false\n"
        f"version = {base['python_version']}\n"
    )
    yield Entry(f"{VENV}/pyvenv.cfg", content=config.encode())
    yield Entry(f"{VENV}/bin/python", link=python)
    yield Entry(f"{VENV}/bin/python3", link="python")
    yield Entry(f"{VENV}/bin/{name}", link="python")
    prefix = posixpath.dirname(posixpath.dirname(python))
    yield Entry(
        f"{prefix}/lib/{name}/site-packages/slim_ray_image.pth",
        content=f"{site_packages}\n".encode(),
    )


def _file_entries(files: Mapping[str, tuple[bytes, bool]]) -> list[Entry]:
    return [
        Entry(path, content=content, is_executable=is_executable)
        for path, (content, is_executable) in sorted(files.items())
    ]


def _links(
    distribution: _InstalledDistribution, request: Mapping[str, Any]
) -> tuple[list[Entry], list[str]]:
    """Return the links to a distribution's commands, and the patterns of `exclude_files` that took one."""
    links, matched = [], []
    for script in sorted(set(LINKED_SCRIPTS) & set(distribution.scripts)):
        path = f"{COMMAND_DIRECTORY}/{script}"
        pattern = matching_pattern(path, request["exclude_files"])
        if pattern:
            matched.append(pattern)
        elif script not in request["base"]["commands"]:
            links.append(Entry(path, link=f"{VENV}/bin/{script}"))
    return links, matched


def _pruned_facts(installed: Mapping[str, _InstalledDistribution]) -> Mapping[str, Any]:
    """For layer.json, what the rules took, and what is left to the layers of parts."""
    return {
        "pruned": [
            {"key": key, "rule": rule, **asdict(saved)}
            for key, distribution in installed.items()
            for rule, saved in distribution.pruned.saved.items()
        ],
        "parts": [
            {"key": key, "part": part, **asdict(saved)}
            for key, distribution in installed.items()
            for part, saved in sorted(distribution.pruned.parts.items())
        ],
        "unpacked_bytes_of": {
            key: distribution.unpacked_bytes for key, distribution in installed.items()
        },
    }


def write_distributions(request: Mapping[str, Any], writer: LayerWriter) -> Mapping[str, Any]:
    """Write the layer of the zips in `distributions`, or of parts of them.

    Returns:
        For layer.json, the sizes of each, and what was pruned.

    Raises:
        SlimRayImageError: If two distributions have one path with different content. `core/conflicts.py` tells that
            of those that were packed together; the repository's own are packed apart.
    """
    base = request["base"]
    site_packages = site_packages_of(base["python"])
    base_directories = frozenset(base["directories"])
    installed = {
        item["key"]: _InstalledDistribution(item, request)
        for item in sorted(request["distributions"], key=lambda item: item["key"])
    }
    _check_collisions({key: distribution.files for key, distribution in installed.items()})
    merged: dict[str, tuple[bytes, bool]] = {}
    for distribution in installed.values():
        merged.update(distribution.files)
    compiled = _with_bytecode(merged, request["bytecode"])
    owner = _owners(installed, compiled)
    links, matched = {}, {p for d in installed.values() for p in d.pruned.matched}
    for key, distribution in installed.items():
        links[key], found = _links(distribution, request)
        matched.update(found)
    linked = [link.path for entries in links.values() for link in entries]
    emptied = [path for d in installed.values() for path in d.pruned.directories]
    directories = missing_parents(
        [*compiled, *linked, *(f"{path}/x" for path in emptied)], base_directories
    )
    for directory in directories:
        writer.add(Entry(directory, is_directory=True))
    if request["virtual_environment"]:
        write_entries(
            writer,
            _virtual_environment(base, site_packages),
            base_directories | frozenset(directories),
        )
    compressed = {}
    for key in installed:
        before = writer.flush()
        files = {path: compiled[path] for path in compiled if owner[path] == key}
        for entry in [*_file_entries(files), *links[key]]:
            writer.add(entry)
        compressed[key] = writer.flush() - before
    return {
        "compressed_bytes_of": compressed,
        "matched": sorted(matched),
        **_pruned_facts(installed),
    }


def _owners(
    installed: Mapping[str, _InstalledDistribution], compiled: Mapping[str, Any]
) -> dict[str, str]:
    """Return path -> the zip that it comes from; a pyc belongs to its source's."""
    owner = {path: file for file, dist in installed.items() for path in dist.files}
    for path in compiled:
        if path not in owner:
            directory, name = posixpath.split(path)
            source = f"{posixpath.dirname(directory)}/{name.rsplit('.', 2)[0]}.py"
            owner[path] = owner[source]
    return owner


def _check_collisions(files: Mapping[str, Mapping[str, tuple[bytes, bool]]]) -> None:
    sources: dict[str, dict[bytes, str]] = defaultdict(dict)
    for file, contents in files.items():
        for path, (content, _) in contents.items():
            sources[path].setdefault(content, file)
    collisions = sorted((path, sorted(by.values())) for path, by in sources.items() if len(by) > 1)
    if collisions:
        raise SlimRayImageError(
            f"{len(collisions)} files would be written twice with different content.",
            evidence=[f"{path}: from {', '.join(owners)}" for path, owners in collisions],
            fixes=["remove one of the distributions from what the service imports"],
        )


def _accounts(request: Mapping[str, Any]) -> Iterator[Entry]:
    """The user's line in /etc/passwd and /etc/group, where the base has none, and the home directory."""
    account = request["account"]
    if not account:
        return
    base = request["base"]
    for path, line, content in (
        ("/etc/passwd", account["passwd"], base["passwd"]),
        ("/etc/group", account["group"], base["group"]),
    ):
        if line:
            text = content if content.endswith("\n") or not content else content + "\n"
            yield Entry(path, content=(text + line + "\n").encode(errors="surrogateescape"))
    yield Entry(account["home"], is_directory=True, uid=account["uid"], gid=account["gid"])


def _check_attribute(check: Mapping[str, str]) -> None:
    """Raise if a module does not define the application that it is to have; the module is parsed, not run."""
    with open(f"files/{check['file']}", "rb") as file:
        source = file.read()
    try:
        names = defined_names(source)
    except SyntaxError as error:
        raise SlimRayImageError(
            f"{check['path']} is not valid Python {sys.version_info[0]}.{sys.version_info[1]}.",
            evidence=[f"line {error.lineno}: {error.msg}"],
            fixes=[f"correct {check['path']}"],
        ) from error
    if names is not None and check["attribute"] not in names:
        likely = sorted(name for name in names if not name.startswith("_"))
        raise SlimRayImageError(
            f"The module {check['module']} does not define {check['attribute']!r}, which {check['named_by']} names.",
            evidence=[f"{check['path']} defines {', '.join(likely) or 'no name'}"],
            fixes=[f"name one of these in {check['named_by']}, or define {check['attribute']!r}"],
        )
    _check_bound(check, source)


def _check_bound(check: Mapping[str, str], source: bytes) -> None:
    """Raise if the attribute is a class or a deployment, of which `serve run` makes no application."""
    attribute = check["attribute"]
    line = unbound_definition(source, attribute)
    if line is None:
        return
    bound = bound_application(source)
    raise SlimRayImageError(
        f"{check['module']}:{attribute} is not bound, so Ray Serve cannot serve it. {check['named_by']} names it.",
        evidence=[f"{check['path']}:{line} defines {attribute}, a class or a deployment"],
        fixes=[
            *([f"name {check['module']}:{bound} there, which is bound"] if bound else []),
            f"bind it in the module, as `app = {attribute}.bind()`, and name that",
        ],
    )


def _first_party_entry(name: str, workdir: str) -> Entry:
    """The entry of a first-party file, which is read when it is written."""
    path = f"files/{name}"
    is_executable = bool(os.stat(path).st_mode & stat.S_IXUSR)
    return Entry(f"{workdir}/{name}", file=path, is_executable=is_executable)


def _bytecode_of(entries: Iterable[Entry]) -> list[Entry]:
    """The pyc of each module among first-party files."""
    sources = []
    for entry in sorted(entries, key=lambda e: e.path):
        if entry.file and entry.path.endswith(".py"):
            with open(entry.file, "rb") as file:
                sources.append((entry.path, file.read()))
    return [Entry(path, content=pyc) for path, pyc in compile_sources(sources).items()]


def write_files(request: Mapping[str, Any], writer: LayerWriter) -> Mapping[str, Any]:
    """Write the layer of large first-party files under `files/`, one after the other: none is in memory as a whole."""
    entries = [_first_party_entry(name, request["workdir"]) for name in sorted(request["files"])]
    write_entries(writer, entries, frozenset(request["base"]["directories"]))
    return {}


def _standard_modules() -> frozenset[str]:
    names = getattr(sys, "stdlib_module_names", None)
    if names is None:  # Python 3.9
        folder = os.path.dirname(os.__file__)
        files = [*os.listdir(folder), *os.listdir(f"{folder}/lib-dynload")]
        names = [*sys.builtin_module_names, *(file.split(".")[0] for file in files)]
    return frozenset([*names, "__main__"])


def _source_facts(names: Sequence[str]) -> Mapping[str, Any]:
    """What the sources import that is neither theirs nor of the standard library, by name and not; and what they use.

    Each is read and parsed once.
    """
    dynamic: list[DynamicImport] = []
    statements: list[ImportStatement] = []
    uses: set[str] = set()
    for name in sorted(names):
        with open(f"files/{name}", "rb") as file:
            content = file.read()
        if name.endswith(".py"):
            dynamic += find_dynamic_imports(name, content)
            statements += find_import_statements(name, content)
        for package in divided_distributions():
            uses |= find_uses(name, content, package)
    held = HeldModules(modules=modules_of(names), packages=_standard_modules())
    return {
        "dynamic_imports": list(map(asdict, unfollowed_imports(dynamic, held))),
        "import_statements": list(map(asdict, missing_imports(statements, held))),
        "uses": sorted(uses),
    }


def write_sources(request: Mapping[str, Any], writer: LayerWriter) -> Mapping[str, Any]:
    """Write the layer of the first-party files under `files/`, the account and the home directory.

    Returns:
        For layer.json, the imports of the sources that lead out of them, and what they use of distributions with parts.
    """
    for check in request["checks"]:
        _check_attribute(check)
    workdir, (uid, gid) = request["workdir"], request["owner"]
    files = [_first_party_entry(name, workdir) for name in request["files"]]
    if request["bytecode"]:
        files += _bytecode_of(files)
    files.sort(key=lambda entry: entry.path)
    entries = [
        *_accounts(request),
        *(
            # The working directory is the user's own to write in; what we put there is not.
            (
                Entry(path, is_directory=True, uid=uid, gid=gid)
                if path == workdir
                else Entry(path, is_directory=True)
            )
            for path in directories_of((entry.path for entry in files), workdir)
        ),
        *files,
    ]
    write_entries(writer, entries, frozenset(request["base"]["directories"]))
    return _source_facts(request["files"])


def main(request: Mapping[str, Any]) -> None:
    """Write the layer's blob, and layer.json: its descriptor, diff_id and sizes, and what its kind has besides."""
    write = {
        "distributions": write_distributions,
        "files": write_files,
        "runtime": write_runtime,
        "sources": write_sources,
    }[request["kind"]]
    partial = f"{_BLOB}.partial"
    with open(partial, "wb") as blob, closing(LayerWriter(blob)) as writer:
        facts = write(request, writer)
        digest, diff_id, size = writer.close()
    os.replace(partial, _BLOB)
    write_json(
        "layer.json",
        {
            "descriptor": {"mediaType": MEDIA_TYPE_LAYER_GZIP, "digest": digest, "size": size},
            "diff_id": diff_id,
            "unpacked_bytes": writer.unpacked_bytes,
            "file_count": writer.file_count,
            **facts,
        },
    )


if __name__ == "__main__":
    run_program(main)
