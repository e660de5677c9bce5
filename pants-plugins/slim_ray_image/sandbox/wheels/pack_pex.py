"""Stage 3 of 6, beside the layers: the wheels of an image, packed as a PEX.

In: wheels. Out: requirements.pex, a PEX of layout `packed` whose `.deps` holds the very wheels
(https://docs.pex-tool.org/, `--pre-resolved-dists` and `--no-pre-install-wheels`). Pex refuses wheels that require what
is not among them: an index that leaves a requirement out of its metadata cannot leave it out of an image.
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
# Of Pex's reasons, a requirement that no distribution meets, and those of its name that are there.
_UNMET = re.compile(r"^ {4}(\S.* but .* resolved)(?::\n((?: {8}\S+\n?)+))?", re.MULTILINE)


def _reasons(stderr: str) -> list[str]:
    """Return the requirements that are not met, without what Pex says of this machine; else its first lines."""
    found = _UNMET.findall(stderr)
    if found:
        return sorted(
            f"{reason}: {', '.join(files.split())}" if files else reason for reason, files in found
        )
    return [line.strip() for line in stderr.splitlines() if line.strip()][:_MOST_LINES]


def _raise_unpacked(stderr: str) -> None:
    raise_if_disk_is_full(stderr)
    raise SlimRayImageError(
        "Pex cannot pack the distributions of the image: they require what is not among them, or what does not fit.",
        evidence=_reasons(stderr),
        fixes=["refresh the lockfile: what its distributions require and what it holds disagree"],
    )


def main(request: PexRequest) -> None:
    """Write requirements.pex, and check that it has the wheels and nothing else."""
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
    # Code that needs no distribution has a PEX without the folder.
    packed = os.listdir(folder) if os.path.isdir(folder) else []
    if sorted(packed) != sorted(request.sha256):
        raise RuntimeError(f"The PEX has {sorted(packed)}, not {sorted(request.sha256)}.")
    for file in packed:
        check_wheel(os.path.join(folder, file), request.sha256[file])


if __name__ == "__main__":
    run_program(main, PexRequest)
