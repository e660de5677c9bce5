"""Stage 2 of 6: what the wheels of the repository's own distributions put into site-packages.

In: wheels. Out: wheels.json, path of a wheel -> its files, sorted. Format:
https://packaging.python.org/en/latest/specifications/binary-distribution-format/.
"""

from __future__ import annotations

import re
import zipfile
from typing import Any, Mapping

from slim_ray_image.sandbox.report import run_program, write_json

_OUTPUT = "wheels.json"
# Where a wheel keeps what belongs to the other of its two roots; both are site-packages in the image.
_OTHER_ROOT = re.compile(r"^[^/]+\.data/(?:purelib|platlib)/")


def _installed_files(path: str) -> list[str]:
    with zipfile.ZipFile(path) as wheel:
        names = (_OTHER_ROOT.sub("", name) for name in wheel.namelist() if not name.endswith("/"))
        return sorted(
            name for name in names if not name.split("/")[0].endswith((".data", ".dist-info"))
        )


def main(request: Mapping[str, Any]) -> None:
    """Write wheels.json."""
    write_json(_OUTPUT, {path: _installed_files(path) for path in request["wheels"]})


if __name__ == "__main__":
    run_program(main)
