"""The Pex that programs of `sandbox/` run, of the lock of the base's tools; the one beside these tests is Pants' own."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import uv

import slim_ray_image

_LOCK = Path(slim_ray_image.__file__).parent / "locks/base_tools.lock"
# Removed when the process ends.
_FOLDER = tempfile.TemporaryDirectory()


@functools.cache
def pex_folder() -> str:
    """Return a folder for PYTHONPATH that has it; uv fetches it once a process, from its own default index."""
    entry = re.search(r"^pex==\S+(?:[ \\\n]+--hash=\S+)+", _LOCK.read_text(), re.MULTILINE)
    assert entry, _LOCK
    requirements, folder = Path(_FOLDER.name, "pex.lock"), Path(_FOLDER.name, "pex")
    requirements.write_text(f"{entry[0]}\n")
    subprocess.run(
        [
            *(uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"),
            *("--require-hashes", "--requirement", requirements, "--target", folder),
            *("--python", sys.executable),
        ],
        check=True,
    )
    return str(folder)
