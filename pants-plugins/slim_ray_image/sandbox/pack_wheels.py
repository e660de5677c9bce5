"""Stage 3 of 6, beside `pack`: the wheels of the repository's own distributions, installed and packed.

In: wheels. Out: requirements.pex and inventory.json, as of `pack`.
uv installs them by name and hash, with their folder for an index: of a wheel that it is given by path, an installer
notes that path (PEP 610), and a sandbox's is new each time.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Mapping

from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.sandbox.pack import install, pack
from slim_ray_image.sandbox.report import run_program
from slim_ray_image.sandbox.run_uv import message_lines

_REQUIREMENTS = "requirements.txt"


def _write_requirements(wheels: list[Mapping[str, str]]) -> None:
    with open(_REQUIREMENTS, "w", encoding="utf-8") as file:
        for wheel in wheels:
            with open(wheel["path"], "rb") as content:
                digest = hashlib.sha256(content.read()).hexdigest()
            file.write(f"{wheel['name']}=={wheel['version']} --hash=sha256:{digest}\n")


def main(request: Mapping[str, Any]) -> None:
    """Write requirements.pex and inventory.json."""
    wheels = request["wheels"]
    _write_requirements(wheels)
    folders = sorted({os.path.abspath(os.path.dirname(wheel["path"])) for wheel in wheels})
    result = install(_REQUIREMENTS, {**request, "indexes": [], "find_links": folders})
    if result.returncode != 0:
        raise SlimRayImageError(
            f"Cannot install the repository's own distributions for {request['platform']}, CPython "
            f"{request['python_version']}, glibc {request['glibc']}.",
            evidence=message_lines(result.stderr),
            fixes=["build them for that Python, by `interpreter_constraints` of the code in them"],
        )
    pack(_REQUIREMENTS)


if __name__ == "__main__":
    run_program(main)
