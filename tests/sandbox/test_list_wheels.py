"""Tests of sandbox.list_wheels."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import make_wheel

from slim_ray_image.sandbox.list_wheels import main


def test_files_are_those_that_an_installer_puts_into_site_packages(sandbox: Path) -> None:
    """Both roots of a wheel count; its metadata, scripts and data do not."""
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
    main({"wheels": [str(wheel)]})
    assert json.loads(Path("wheels.json").read_text()) == {
        "dist/lib-1.0-py3-none-any.whl": [
            "lib/fast.so",
            "lib/pure.py",
            "lib/stopwords.txt",
            "lib/words.py",
        ]
    }
