"""The Pex that programs of `sandbox/` run, from the lock of the base's tools; the tests' environment has Pants' Pex."""

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
# Python removes the folder when the process ends.
_FOLDER = tempfile.TemporaryDirectory()


@functools.cache
def pex_folder() -> str:
    """Return a folder for PYTHONPATH with this Pex. uv fetches Pex once per process, from uv's default index."""
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
