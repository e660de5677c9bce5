"""Tests of sandbox.wheels.list_wheels."""

from __future__ import annotations

from pathlib import Path

from conftest import make_wheel

from slim_ray_image.core.wheels.wheel_files import RESULT, WheelFilesRequest, WheelFilesResult
from slim_ray_image.core.wire import from_json
from slim_ray_image.sandbox.wheels.list_wheels import main


def test_files_are_those_that_an_installer_puts_into_site_packages(sandbox: Path) -> None:
    """Both roots of a wheel are listed; its metadata, scripts and data are not."""
    files = {
        "lib/words.py": "",
        "lib/stopwords.txt": "",
        "lib-1.0.data/purelib/lib/pure.py": "",
        "lib-1.0.data/platlib/lib/fast.so": "",
        "lib-1.0.data/scripts/run": "",
        "lib-1.0.data/data/share/table.csv": "",
    }
    Path("dist").mkdir()
    wheel = make_wheel(Path("dist"), "lib", "1.0", files=files, requires=[])
    main(WheelFilesRequest((str(wheel),)))
    assert from_json(WheelFilesResult, Path(RESULT).read_text()).files == {
        "dist/lib-1.0-py3-none-any.whl": (
            "lib/fast.so",
            "lib/pure.py",
            "lib/stopwords.txt",
            "lib/words.py",
        )
    }
