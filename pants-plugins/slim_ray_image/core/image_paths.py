"""Stages 3 to 5 of 6: where things are in an image, and what its paths are made of."""

from __future__ import annotations

import posixpath
import re
from typing import Iterable

VENV = "/opt/venv"
SCRIPTS = f"{VENV}/bin"
# Where a login shell, whose profile resets PATH, still finds programs; KubeRay may start Ray by one.
COMMAND_DIRECTORY = "/usr/local/bin"
# Console scripts that KubeRay and people call by name, linked from COMMAND_DIRECTORY.
LINKED_SCRIPTS = ("ray", "serve")

# Those of Unicode's category Cc, such as line breaks.
_CONTROL_CHARACTER = re.compile("[\0-\x1f\x7f-\x9f]")


def has_control_character(path: str) -> bool:
    """Tell whether a path cannot go into an image: many tools read lists of paths line by line, or show them raw."""
    return bool(_CONTROL_CHARACTER.search(path))


def site_packages_of(python: str) -> str:
    """Return where distributions are in the image, by the name or the path of its interpreter, as `python3.10`."""
    return f"{VENV}/lib/{posixpath.basename(python)}/site-packages"


def parents(path: str) -> tuple[str, ...]:
    """Return the directories above `path`, outermost first, without the root or, of a relative one, the start."""
    found = []
    while (path := posixpath.dirname(path)) not in ("/", ""):
        found.append(path)
    return tuple(reversed(found))


def missing_parents(paths: Iterable[str], base_directories: frozenset[str]) -> tuple[str, ...]:
    """Return the directories above `paths` that the base does not have, sorted.

    The others get no entry in our layers: an entry for /bin, say, would replace the base's symlink of that name, and
    one for /etc the base's mode.

    Args:
        paths: Absolute.
        base_directories: Absolute paths of the base's directories and of its symlinks to directories.
    """
    return tuple(sorted({parent for path in paths for parent in parents(path)} - base_directories))
