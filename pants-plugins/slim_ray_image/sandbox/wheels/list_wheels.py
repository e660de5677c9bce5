"""Stage 2 of 6: list the files that wheels of the monorepo's own distributions install into site-packages.

In: wheels. Out: the files of each wheel. Format:
https://packaging.python.org/en/latest/specifications/binary-distribution-format/.
"""

from __future__ import annotations

import re
import zipfile

from slim_ray_image.core.wheels.wheel_files import RESULT, WheelFilesRequest, WheelFilesResult
from slim_ray_image.sandbox.report import run_program, write_result

# The folders of a wheel for `purelib` and `platlib`: both are site-packages in the image.
_OTHER_ROOT = re.compile(r"^[^/]+\.data/(?:purelib|platlib)/")


def _installed_files(path: str) -> tuple[str, ...]:
    with zipfile.ZipFile(path) as wheel:
        names = (_OTHER_ROOT.sub("", name) for name in wheel.namelist() if not name.endswith("/"))
        return tuple(
            sorted(
                name for name in names if not name.split("/")[0].endswith((".data", ".dist-info"))
            )
        )


def main(request: WheelFilesRequest) -> None:
    """Write wheel_files.json: for each wheel, the files that the wheel installs into site-packages."""
    files = {path: _installed_files(path) for path in request.wheels}
    write_result(RESULT, WheelFilesResult(files))


if __name__ == "__main__":
    run_program(main, WheelFilesRequest)
