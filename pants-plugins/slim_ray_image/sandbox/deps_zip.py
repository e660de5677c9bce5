"""One zip of a packed PEX's `.deps`: an installed wheel, as Pex lays it out.

Format: https://github.com/pex-tool/pex/blob/v2.105.2/pex/pep_427.py.
"""

from __future__ import annotations

import configparser
import posixpath
import zipfile

from slim_ray_image.core.layers import VENV, has_control_character

# Pex's own description of the layout, which is no file of the distribution.
LAYOUT = ".layout.json"
_STASH = ".prefix/"
_STASHED_PYTHON = "pythonX.Y"  # in a stashed header's path, for the image's


def metadata_path(wheel: zipfile.ZipFile) -> str:
    """Return the name of the distribution's own METADATA; those of what it vendors lie deeper."""
    (path,) = (
        name
        for name in wheel.namelist()
        if name.endswith(".dist-info/METADATA") and name.count("/") == 1
    )
    return path


def has_place(name: str, record: str) -> bool:
    """Whether a file of the zip goes into the image.

    Pex's own does not, `record` is made anew, and so is bytecode, which Python does not read of `__pycache__` without
    the source.
    """
    return name not in (LAYOUT, record) and "__pycache__/" not in name


def place_of(name: str, site_packages: str) -> str:
    """Return where in the image a file of the zip goes.

    Raises:
        ValueError: If its name has control characters, which uv and Pex do not let through.
    """
    if has_control_character(name):
        raise ValueError(f"A name has control characters: {name!r}.")
    if not name.startswith(_STASH):
        return f"{site_packages}/{name}"
    scheme, _, inner = name[len(_STASH) :].partition("/")
    if scheme in ("purelib", "platlib"):
        return f"{site_packages}/{inner}"
    if scheme != "data":
        python = posixpath.basename(posixpath.dirname(site_packages))
        inner = f"{scheme}/{inner}".replace(_STASHED_PYTHON, python)
    return f"{VENV}/{inner}"


def console_scripts(wheel: zipfile.ZipFile) -> dict[str, str]:
    """Return script name -> "module:attribute" of the distribution's entry points."""
    name = f"{posixpath.dirname(metadata_path(wheel))}/entry_points.txt"
    if name not in wheel.namelist():
        return {}
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(wheel.read(name).decode())
    return {
        script: target.split("[")[0].strip()
        for section in ("console_scripts", "gui_scripts")
        if parser.has_section(section)
        for script, target in parser.items(section)
    }
