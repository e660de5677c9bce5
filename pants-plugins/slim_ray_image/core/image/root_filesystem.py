"""Root filesystem of an image: the entries of its layers, applied one over the other.

In: the entries of each layer, lowest first. Out: the entries that a container sees; paths are absolute in the image.
Specification: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md ("Applying Changesets").
"""

from __future__ import annotations

import posixpath
from typing import Generic, Iterable, Mapping, Optional, Protocol, TypeVar

_MOST_LINKS = 40  # the limit of Linux


class Entry(Protocol):
    """A file, directory or symlink of a layer, with the properties that decide how layers combine."""

    @property
    def is_directory(self) -> bool: ...

    @property
    def link(self) -> Optional[str]:
        """The target of a symlink; None for any other entry."""


_Entry = TypeVar("_Entry", bound=Entry)


def absolute(member: str) -> str:
    """Return the absolute path in the image for the name of a tar member."""
    return posixpath.normpath("/" + member.lstrip("/"))


class RootFilesystem(Generic[_Entry]):
    """The files, directories and symlinks that a container of an image sees, by absolute path."""

    def __init__(self) -> None:
        self.entries: dict[str, _Entry] = {}

    def apply(self, layer: Iterable[tuple[str, _Entry]]) -> None:
        """Add a layer's entries over those of lower layers. Entries are named as in its tar, and include whiteouts."""
        below = dict(self.entries)
        for member, entry in layer:
            directory, name = posixpath.split(absolute(member))
            directory = self.resolve(directory)  # a parent may be a symlink of a layer below
            path = posixpath.join(directory, name)
            if name == ".wh..wh..opq":
                self._remove(directory, below, keep_itself=True)
            elif name.startswith(".wh."):
                self._remove(posixpath.join(directory, name[4:]), below)
            else:
                if not entry.is_directory:
                    self._remove(path, below)
                self.entries[path] = entry

    def _remove(self, path: str, below: Mapping[str, _Entry], keep_itself: bool = False) -> None:
        """Remove the lower layers' entries, `below`, at and under `path`; entries that the layer itself adds stay."""
        gone = [] if keep_itself else [path]
        if path in below and below[path].is_directory:
            gone += [p for p in below if p.startswith(path + "/")]
        for removed in gone:
            if self.entries.get(removed) is below.get(removed):
                self.entries.pop(removed, None)

    def resolve(self, path: str, depth: int = 0) -> str:
        """Return `path` with every symlink followed inside the image."""
        real = ""
        for part in path.strip("/").split("/"):
            real = posixpath.normpath(f"{real}/{part}")
            entry = self.entries.get(real)
            if entry and entry.link is not None and depth < _MOST_LINKS:
                target = posixpath.join(posixpath.dirname(real), entry.link)
                real = self.resolve(posixpath.normpath(target), depth + 1)
        return real or "/"

    def find(self, path: str) -> Optional[_Entry]:
        """Return the file or directory at `path`, with symlinks followed inside the image; None if there is none."""
        return self.entries.get(self.resolve(path))

    def children(self, directory: str) -> list[str]:
        return sorted(p for p in self.entries if posixpath.dirname(p) == directory)
