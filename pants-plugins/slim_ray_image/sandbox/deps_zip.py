"""One zip of a packed PEX's `.deps`: an installed wheel, as Pex lays it out.

Format: https://github.com/pex-tool/pex/blob/v2.105.2/pex/pep_427.py.
"""

from __future__ import annotations

import zipfile

# Pex's own description of the layout, which is no file of the distribution.
LAYOUT = ".layout.json"


def metadata_path(wheel: zipfile.ZipFile) -> str:
    """Return the name of the distribution's own METADATA; those of what it vendors lie deeper."""
    (path,) = (
        name
        for name in wheel.namelist()
        if name.endswith(".dist-info/METADATA") and name.count("/") == 1
    )
    return path
