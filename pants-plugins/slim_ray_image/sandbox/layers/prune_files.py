"""Stage 4 of 6: removes files from one distribution by the rules of `core/layers/prune_rules.py`.

In: the files by their paths in the image, and the names of rules. Out: the files that stay, and the bytes and files
that each rule saved. The result depends on the content of that one distribution alone, so that its layer is the same in
every service.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Iterable, Iterator, Mapping, Optional, Sequence

from slim_ray_image.core.layers.distributions_layer import Saved
from slim_ray_image.core.layers.exclude_files import EXCLUDE_FILES, matching_pattern
from slim_ray_image.core.layers.own_tests import find_unneeded_tests
from slim_ray_image.core.layers.prune_rules import (
    DEBUG_INFORMATION,
    DEBUG_SYMBOLS,
    HEADERS,
    TESTS,
    TYPE_STUBS,
    VIRTUALENV_WHEELS,
    Rule,
    find_rule,
    is_below,
    part_at,
    spares,
)
from slim_ray_image.core.python.parsing import parse_module
from slim_ray_image.sandbox.layers.strip_symbols import Stripped, strip
from slim_ray_image.sandbox.spool import Content, Spool

# A file name in the text of a module. For example, cffi names the header that it puts before generated code.
_FILE_NAME = re.compile(rb"[\w.+-]*\w\.\w+")
_IN_FILE_NAMES = re.compile(rb"[\w.+-]")
# https://github.com/scientific-python/lazy-loader: a package that reads its stub at run time.
_READS_STUBS = b"attach_stub"
# virtualenv's own table: Python version -> distribution -> wheel.
_WHEELS_FOLDER = "virtualenv/seed/wheels/embed"
_WHEELS_TABLE = "BUNDLE_SUPPORT"
_STRIPPED_BY = {
    DEBUG_INFORMATION: Stripped.DEBUG_INFORMATION,
    DEBUG_SYMBOLS: Stripped.SYMBOLS,
}


@dataclass(frozen=True)
class File:
    """A file of a distribution to install in the image: its content, and whether it is executable."""

    content: Content
    is_executable: bool


@dataclass(frozen=True)
class PrunedDistribution:
    """The files of a distribution, or of a part of one, that stay after pruning, and the sizes that rules saved.

    Attributes:
        files: Path in the image -> file that stays.
        directories: Paths in the image of directories that stay although they are empty.
        saved: Rule -> bytes that it saved, and number of files that it removed or stripped.
        parts: Name of a part that has its own layer -> its size before pruning. Empty when a part itself is pruned.
        matched: Patterns of `exclude_files` that removed a file.
    """

    files: Mapping[str, File]
    directories: tuple[str, ...]
    saved: Mapping[str, Saved]
    parts: Mapping[str, Saved]
    matched: frozenset[str]


def _literal(source: bytes, name: str) -> Mapping[str, Mapping[str, str]]:
    """Return the dictionary that a module's source binds to `name` as a literal; an empty one if there is none."""
    tree = parse_module(source)
    for node in tree.body if tree else []:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(target, ast.Name) and target.id == name:
            try:
                table: Mapping[str, Mapping[str, str]] = ast.literal_eval(value)
            except (ValueError, RecursionError):
                return {}
            return table
    return {}


def find_file_names(content: bytes, suffixes: tuple[bytes, ...]) -> Iterator[bytes]:
    """Yield each file name in the text of a module that ends with one of `suffixes`, as often as it occurs.

    Few names have such an end, so the search looks for ends: to read each name from its start takes many times longer.
    """
    is_end = re.compile(b"(?:%s)(?!\\w)" % b"|".join(map(re.escape, suffixes))).search
    end = 0
    while match := is_end(content, end):
        start = match.start()
        while start > end and _IN_FILE_NAMES.match(content, start - 1):
            start -= 1
        end = match.end()
        while _IN_FILE_NAMES.match(content, end):
            end += 1
        yield from (
            name for name in _FILE_NAME.findall(content, start, end) if name.endswith(suffixes)
        )


class _Pruner:
    """Removes files of a distribution from the image, rule by rule, and counts the bytes that each rule saves."""

    def __init__(
        self, name: str, files: Mapping[str, File], site_packages: str, spool: Spool
    ) -> None:
        self.name = name
        self._spool = spool
        self.files = dict(files)
        self.saved: dict[str, dict[str, int]] = defaultdict(dict)  # rule -> path -> bytes
        self.matched: set[str] = set()
        self._prefix = f"{site_packages}/"

    def _in_site_packages(self) -> Iterator[tuple[str, str]]:
        """Yield (path, path relative to site-packages) of a distribution's files in that folder, except metadata."""
        for path in sorted(self.files):
            relative = path[len(self._prefix) :]
            if path.startswith(self._prefix) and not relative.split("/")[0].endswith(".dist-info"):
                yield path, relative

    def _take(self, rule: str, paths: Iterable[str]) -> None:
        for path in paths:
            self.saved[rule][path] = self.files.pop(path).content.size

    def _modules(self) -> Iterator[bytes]:
        for path, _ in self._in_site_packages():
            if path.endswith(".py"):
                yield self.files[path].content.read()

    def _kept_by_rule(self, rule: Rule) -> Optional[frozenset[bytes]]:
        """Return the file names that a rule must keep although their suffix matches; None if it must keep all files."""
        if spares(rule, self.name):
            return None
        if rule.name == TYPE_STUBS and any(_READS_STUBS in content for content in self._modules()):
            return None
        if rule.name != HEADERS:
            return frozenset()
        suffixes = tuple(suffix.encode() for suffix in rule.suffixes)
        return frozenset(
            name for content in self._modules() for name in find_file_names(content, suffixes)
        )

    def take_tests(self) -> None:
        files = {
            relative: self.files[path].content.read for path, relative in self._in_site_packages()
        }
        unneeded = find_unneeded_tests(files)
        self._take(TESTS, [f"{self._prefix}{relative}" for relative in unneeded])

    def take_wheels(self, python_minor: str) -> None:
        """Remove the wheels that virtualenv has for other Pythons, if its table has this Python."""
        table = self.files.get(f"{self._prefix}{_WHEELS_FOLDER}/__init__.py")
        wanted = _literal(table.content.read(), _WHEELS_TABLE).get(python_minor) if table else None
        if not wanted:
            return
        self._take(
            VIRTUALENV_WHEELS,
            [
                path
                for path, relative in self._in_site_packages()
                if posixpath.dirname(relative) == _WHEELS_FOLDER
                and relative.endswith(".whl")
                and posixpath.basename(relative) not in wanted.values()
            ],
        )

    def take_by_name(self, rule: Rule) -> None:
        kept = self._kept_by_rule(rule)
        if kept is None:
            return
        self._take(
            rule.name,
            [
                path
                for path, relative in self._in_site_packages()
                if is_below(relative, rule.folders)
                or (
                    relative.endswith(rule.suffixes)
                    and posixpath.basename(relative).encode() not in kept
                )
            ],
        )

    def take_excluded(self, patterns: Sequence[str]) -> None:
        for path in sorted(self.files):
            pattern = matching_pattern(path, patterns)
            if pattern:
                self.matched.add(pattern)
                self._take(EXCLUDE_FILES, [path])

    def strip(self, rule: str, paths: Iterable[str]) -> None:
        for path in paths:
            file = self.files[path]
            stripped = strip(file.content, _STRIPPED_BY[rule])
            if stripped is not None:
                content = self._spool.take(stripped)
                self.saved[rule][path] = file.content.size - content.size
                self.files[path] = File(content, file.is_executable)


def _region_of(path: str, name: str, site_packages: str) -> str:
    """Return the name of the part of a distribution, such as Ray's Java JARs, that contains a path; "" for no part."""
    part = part_at(posixpath.relpath(path, site_packages), name)
    return part.name if part else ""


def _directories(pruner: _Pruner, rules: Iterable[str], site_packages: str) -> tuple[str, ...]:
    return tuple(
        f"{site_packages}/{directory}"
        for name in sorted(rules)
        if pruner.saved.get(name)
        for directory in find_rule(name).directories
    )


def prune_distribution(
    name: str,
    files: Mapping[str, File],
    site_packages: str,
    spool: Spool,
    *,
    rules: Sequence[str] = (),
    patterns: Sequence[str] = (),
    part: str = "",
) -> PrunedDistribution:
    """Return the files of a distribution, or of a part of one, that go into a layer after rules removed the others.

    Args:
        name: Canonical name of the distribution.
        files: All files of the distribution, by path in the image.
        site_packages: Path in the image.
        spool: Keeps the content of stripped files.
        rules: Names of fixed rules.
        patterns: Absolute patterns of `exclude_files`.
        part: Name of the part to return; "" for the files that are in no part.
    """
    regions = {path: _region_of(path, name, site_packages) for path in files}
    parts: dict[str, Saved] = defaultdict(Saved)
    for path, region in regions.items():
        if region and not part:
            parts[region] += Saved(files[path].content.size, 1)
    pruner = _Pruner(name, files, site_packages, spool)
    # Tests first: they are whole folders, and each file in them counts as a test whatever its name.
    if TESTS in rules:
        pruner.take_tests()
    if VIRTUALENV_WHEELS in rules:
        python = posixpath.basename(posixpath.dirname(site_packages))
        pruner.take_wheels(python[len("python") :])
    for rule in rules:
        pruner.take_by_name(find_rule(rule))
    pruner.take_excluded(patterns)
    here = [path for path in sorted(pruner.files) if regions[path] == part]
    for rule in _STRIPPED_BY:
        if rule in rules:
            pruner.strip(rule, here)
    saved = {
        rule: sum(
            (Saved(size, 1) for path, size in taken.items() if regions[path] == part), Saved()
        )
        for rule, taken in pruner.saved.items()
    }
    return PrunedDistribution(
        {path: pruner.files[path] for path in here},
        () if part else _directories(pruner, rules, site_packages),
        {rule: total for rule, total in sorted(saved.items()) if total.files},
        parts,
        frozenset(pruner.matched),
    )
