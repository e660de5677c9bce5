"""Stage 3 of 6, beside the layers: packs an image's wheels as a PEX; Pex checks that their requirements are met.

In: wheels. Out: requirements.pex, a PEX of layout `packed` whose `.deps` contains the unchanged wheels
(https://docs.pex-tool.org/, `--pre-resolved-dists` and `--no-pre-install-wheels`). Pex rejects wheels whose
requirements are not among the wheels, so an image has every requirement even if an index's metadata omits one.
"""

from __future__ import annotations

import os
import re
import subprocess

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.folders import WHEELS
from slim_ray_image.core.wheels.wheels import PEX, PexRequest
from slim_ray_image.sandbox.report import raise_if_disk_is_full, run_program
from slim_ray_image.sandbox.tools.run_pex import pex_command, pex_environment
from slim_ray_image.sandbox.wheels.wheel import check_wheel

_DEPS = ".deps"
_MOST_LINES = 20
# In Pex's output: a requirement that no distribution meets, and the distributions of that name that exist.
_UNMET = re.compile(r"^ {4}(\S.* but .* resolved)(?::\n((?: {8}\S+\n?)+))?", re.MULTILINE)


def _reasons(stderr: str) -> list[str]:
    """Return the unmet requirements in Pex's stderr, without lines about this machine; if none, its first lines."""
    found = _UNMET.findall(stderr)
    if found:
        return sorted(
            f"{reason}: {', '.join(files.split())}" if files else reason for reason, files in found
        )
    return [line.strip() for line in stderr.splitlines() if line.strip()][:_MOST_LINES]


def _raise_unpacked(stderr: str) -> None:
    raise_if_disk_is_full(stderr)
    raise SlimRayImageError(
        "Pex cannot pack the distributions of the image: their requirements are missing or have another version.",
        evidence=_reasons(stderr),
        fixes=[
            "refresh the lockfile, which does not meet the requirements of its own distributions"
        ],
    )


def main(request: PexRequest) -> None:
    """Write requirements.pex, and check that it contains exactly the requested wheels."""
    excluded = [argument for name in request.excluded for argument in ("--exclude", name)]
    command = pex_command(
        *("pex", *request.requirements, "--pre-resolved-dists", WHEELS, "--no-pre-install-wheels"),
        *(*excluded, "--pre", "--layout", "packed", "--no-compress", "--output-file", PEX),
    )
    result = subprocess.run(
        command, env=pex_environment(), capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        _raise_unpacked(result.stderr)
    folder = os.path.join(PEX, _DEPS)
    # A PEX of no distributions has no such folder.
    packed = os.listdir(folder) if os.path.isdir(folder) else []
    if sorted(packed) != sorted(request.sha256):
        raise RuntimeError(f"The PEX has {sorted(packed)}, not {sorted(request.sha256)}.")
    for file in packed:
        check_wheel(os.path.join(folder, file), request.sha256[file])


if __name__ == "__main__":
    run_program(main, PexRequest)
