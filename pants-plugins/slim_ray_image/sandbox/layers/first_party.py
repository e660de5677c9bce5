"""Stage 4 of 6: makes tar entries of layers from first-party files."""

from __future__ import annotations

import os
import stat

from slim_ray_image.core.folders import FILES
from slim_ray_image.sandbox.layers.deterministic_tar import Entry


def first_party_entry(name: str, workdir: str) -> Entry:
    """Return the tar entry of a first-party file for a layer; the file is read when the entry is written."""
    path = f"{FILES}/{name}"
    is_executable = bool(os.stat(path).st_mode & stat.S_IXUSR)
    return Entry(f"{workdir}/{name}", file=path, is_executable=is_executable)
