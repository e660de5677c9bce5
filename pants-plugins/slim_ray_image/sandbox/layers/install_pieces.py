"""Stage 4 of 6: turns wheels into tar entries of the image's virtual environment, pruned and with bytecode.

A piece is a distribution or a part of one. Console scripts and RECORD are the ones that an installer would write. Each
file is compared with the wheel's RECORD on the way. Format:
https://packaging.python.org/en/latest/specifications/recording-installed-packages/.
"""

from __future__ import annotations

import csv
import io
import itertools
import posixpath
from collections import defaultdict
from dataclasses import dataclass
from typing import Iterable, Mapping, Sequence, Union

from installer.records import Hash, RecordEntry

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.folders import WHEELS
from slim_ray_image.core.image_paths import (
    COMMAND_DIRECTORY,
    LINKED_SCRIPTS,
    SCRIPTS,
    missing_parents,
    site_packages_of,
)
from slim_ray_image.core.layers.distributions_layer import (
    PieceRequest,
    PiecesFacts,
    PiecesRequest,
    Saved,
    SavedRow,
)
from slim_ray_image.core.layers.exclude_files import matching_pattern
from slim_ray_image.sandbox.bytecode import compile_sources, pyc_path
from slim_ray_image.sandbox.layers.deterministic_tar import Entry, LayerWriter
from slim_ray_image.sandbox.layers.prune_files import File, PrunedDistribution, prune_distribution
from slim_ray_image.sandbox.layers.slices import SliceWriter
from slim_ray_image.sandbox.spool import Content, Spool
from slim_ray_image.sandbox.wheels.wheel import Member, check_wheel, read_wheel

_ANY_PYTHON = b"#!python"


def _check_content(member: Member, content: Content) -> None:
    """Check that the content of a wheel's file matches its hash in RECORD, if RECORD has one."""
    recorded = member.recorded
    if recorded is None:
        return
    same = (
        recorded.value.rstrip("=") == content.sha256
        if recorded.name == "sha256"
        else recorded.validate(content.read())
    )
    if not same:
        raise ValueError(f"{member.path} does not match its hash in RECORD")


def _with_interpreter(content: Content, spool: Spool) -> Content:
    """Return a script with the image's interpreter in place of `#!python`, the placeholder of wheels."""
    if content.read_at(0, len(_ANY_PYTHON)) != _ANY_PYTHON:
        return content
    start = f"#!{SCRIPTS}/python".encode()
    return spool.take(itertools.chain([start], content.chunks(len(_ANY_PYTHON))))


class _Installed:
    """The files and commands of a distribution, or of a part of one, as installed in the image after pruning."""

    def __init__(self, piece: PieceRequest, request: PiecesRequest, spool: Spool) -> None:
        self._spool = spool
        self._site_packages = site_packages_of(request.base.python)
        path = f"{WHEELS}/{piece.file}"
        check_wheel(path, piece.sha256)
        found: dict[str, File] = {}
        layout = read_wheel(
            path, self._site_packages, lambda member: found.update(self._keep(member))
        )
        self.pruned: PrunedDistribution = prune_distribution(
            piece.name,
            found,
            self._site_packages,
            spool,
            rules=request.prune,
            patterns=request.exclude_files,
            part=piece.part,
        )
        self.files = dict(self.pruned.files)
        self.scripts: tuple[str, ...] = ()
        if not piece.part:
            self.scripts = layout.scripts
            self.files[layout.record] = File(spool.take([self._record(layout.record)]), False)
        self.unpacked_bytes = sum(file.content.size for file in self.files.values())

    def _keep(self, member: Member) -> Mapping[str, File]:
        content = self._spool.take(member.chunks)
        _check_content(member, content)
        if posixpath.dirname(member.path) == SCRIPTS:
            content = _with_interpreter(content, self._spool)
        return {member.path: File(content, member.is_executable)}

    def _record(self, path: str) -> bytes:
        """Return the text of a RECORD of the files left after pruning, with paths relative to site-packages."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for installed, file in sorted(self.files.items()):
            relative = posixpath.relpath(installed, self._site_packages)
            hash_ = Hash("sha256", file.content.sha256)
            writer.writerow(RecordEntry(relative, hash_, file.content.size).to_row())
        own = posixpath.relpath(path, self._site_packages)
        writer.writerow(RecordEntry(own, None, None).to_row())
        return text.getvalue().encode()


def _links(distribution: _Installed, request: PiecesRequest) -> tuple[list[Entry], list[str]]:
    """Return the links to a distribution's commands, and the patterns of `exclude_files` that excluded a link."""
    links, matched = [], []
    for script in sorted(set(LINKED_SCRIPTS) & set(distribution.scripts)):
        path = f"{COMMAND_DIRECTORY}/{script}"
        pattern = matching_pattern(path, request.exclude_files)
        if pattern:
            matched.append(pattern)
        elif script not in request.commands:
            links.append(Entry(path, link=f"{SCRIPTS}/{script}"))
    return links, matched


def _check_collisions(files: Mapping[str, Mapping[str, File]]) -> None:
    sources: dict[str, dict[str, str]] = defaultdict(dict)
    for owner, contents in files.items():
        for path, file in contents.items():
            sources[path].setdefault(file.content.sha256, owner)
    collisions = sorted((path, sorted(by.values())) for path, by in sources.items() if len(by) > 1)
    if collisions:
        raise SlimRayImageError(
            f"{len(collisions)} files would be written twice with different content.",
            evidence=[f"{path}: from {', '.join(owners)}" for path, owners in collisions],
            fixes=["remove the service's imports of one of these distributions"],
        )


def _owned(installed: Mapping[str, _Installed]) -> dict[str, list[str]]:
    """Map the key of each distribution, or part of one, to the paths that it writes; the first writes shared paths."""
    owner: dict[str, str] = {}
    for key, distribution in installed.items():
        for path in distribution.files:
            owner.setdefault(path, key)
    return {
        key: sorted(path for path in distribution.files if owner[path] == key)
        for key, distribution in installed.items()
    }


def _entries(
    installed: Mapping[str, _Installed], owned: Mapping[str, Sequence[str]], bytecode: bool
) -> dict[str, list[Entry]]:
    """Map the key of each distribution, or part of one, to tar entries of its files and bytecode, sorted by path."""
    modules = {
        key: [path for path in paths if bytecode and path.endswith(".py")]
        for key, paths in owned.items()
    }
    compiled = compile_sources(
        ((path, installed[key].files[path].content.read()) for path in paths)
        for key, paths in modules.items()
    )
    entries: dict[str, list[Entry]] = {}
    for key, paths in owned.items():
        files = installed[key].files
        pycs = (pyc_path(path) for path in modules[key])
        entries[key] = [
            *(
                Entry(path, spooled=files[path].content, is_executable=files[path].is_executable)
                for path in paths
            ),
            *(Entry(path, file=compiled[path]) for path in pycs if path in compiled),
        ]
        entries[key].sort(key=lambda entry: entry.path)
    return entries


@dataclass(frozen=True)
class InstalledPieces:
    """The requested pieces (distributions or parts of them), as tar entries of the image.

    Attributes:
        entries: Key of a piece -> its entries without directories; each path once.
        directories: Directories that the entries need and the base lacks, sorted.
    """

    entries: Mapping[str, Sequence[Entry]]
    directories: tuple[str, ...]
    _installed: Mapping[str, _Installed]
    _matched: frozenset[str]

    def write(self, writer: Union[LayerWriter, SliceWriter]) -> PiecesFacts:
        """Write the tar entries, and return facts of each distribution or part of one, such as its compressed size."""
        compressed = {}
        for key, entries in self.entries.items():
            before = writer.flush()
            for entry in entries:
                writer.add(entry)
            compressed[key] = writer.flush() - before
        installed = self._installed
        taken = (pattern for one in installed.values() for pattern in one.pruned.matched)
        return PiecesFacts(
            compressed_bytes_of=compressed,
            unpacked_bytes_of={key: one.unpacked_bytes for key, one in installed.items()},
            pruned=_rows((key, one.pruned.saved) for key, one in installed.items()),
            parts=_rows((key, one.pruned.parts) for key, one in installed.items()),
            matched=tuple(sorted({*self._matched, *taken})),
        )


def _rows(saved: Iterable[tuple[str, Mapping[str, Saved]]]) -> tuple[SavedRow, ...]:
    return tuple(SavedRow(key, name, by[name]) for key, by in saved for name in sorted(by))


def install_pieces(request: PiecesRequest) -> InstalledPieces:
    """Install the requested pieces (distributions or parts of them) as tar entries, in the order of their keys.

    Raises:
        SlimRayImageError: If a wheel is invalid or has another hash, or if two distributions have different content at
            one path. `core/layers/conflicts.py` reports such conflicts earlier.
    """
    spool = Spool()
    pieces = sorted(request.pieces, key=lambda piece: piece.key)
    installed = {piece.key: _Installed(piece, request, spool) for piece in pieces}
    _check_collisions({key: distribution.files for key, distribution in installed.items()})
    entries = _entries(installed, _owned(installed), request.bytecode)
    matched: set[str] = set()
    for key, distribution in installed.items():
        links, found = _links(distribution, request)
        entries[key] += links
        matched.update(found)
    emptied = (path for d in installed.values() for path in d.pruned.directories)
    paths = (entry.path for own in entries.values() for entry in own)
    directories = missing_parents(
        [*paths, *(f"{path}/x" for path in emptied)], frozenset(request.base.directories)
    )
    return InstalledPieces(entries, directories, installed, frozenset(matched))
