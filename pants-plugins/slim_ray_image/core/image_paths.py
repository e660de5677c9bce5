"""Stages 3 to 5 of 6: paths that are the same in every image, such as /opt/venv, and functions on paths."""

from __future__ import annotations

import posixpath
import re
from typing import Iterable

VENV = "/opt/venv"
SCRIPTS = f"{VENV}/bin"
# Directory in which a login shell finds programs, although its profile resets PATH; KubeRay may start Ray in one.
COMMAND_DIRECTORY = "/usr/local/bin"
# Console scripts that KubeRay and people call by name; COMMAND_DIRECTORY has links to them.
LINKED_SCRIPTS = ("ray", "serve")

# Characters of Unicode's category Cc, such as line breaks.
_CONTROL_CHARACTER = re.compile("[\0-\x1f\x7f-\x9f]")


def has_control_character(path: str) -> bool:
    """Return whether a path has a control character, which no path in an image may have.

    Many tools read lists of paths line by line, or print them raw.
    """
    return bool(_CONTROL_CHARACTER.search(path))


def site_packages_of(python: str) -> str:
    """Return the path of site-packages in the image, by the name or path of its interpreter, such as "python3.10"."""
    return f"{VENV}/lib/{posixpath.basename(python)}/site-packages"


def parents(path: str) -> tuple[str, ...]:
    """Return the directories above `path`, outermost first, without the root directory."""
    found = []
    while (path := posixpath.dirname(path)) not in ("/", ""):
        found.append(path)
    return tuple(reversed(found))


def missing_parents(paths: Iterable[str], base_directories: frozenset[str]) -> tuple[str, ...]:
    """Return the directories above `paths` that the base image does not have, sorted.

    Directories of the base get no entry in our layers: for example, an entry for /bin would replace the base's symlink,
    and an entry for /etc would replace the base's mode.

    Args:
        paths: Absolute paths.
        base_directories: Absolute paths of the base's directories and of its symlinks to directories.
    """
    return tuple(sorted({parent for path in paths for parent in parents(path)} - base_directories))
