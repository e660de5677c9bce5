"""Pack a CPython of this machine like python-build-standalone: into an archive with one directory, `python`.

As in the real archives, `sysconfig` names /install as the prefix and a compiler that this machine may lack. Unlike
in the real archives, the CPython loads its shared libraries from its original place, so it works only on this machine.
"""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

# Modules that no set-up imports are left out for the size, bytecode because it names other paths.
_LEFT_OUT = frozenset(
    "__pycache__ idlelib lib2to3 pydoc_data site-packages test tests tkinter turtledemo".split()
)


def pack_python(prefix: Path, minor: str, archive: Path, *, level: int = 1) -> None:
    """Write `archive`, a .tar.gz of the CPython 3.MINOR in `prefix`."""
    name = f"python3.{minor}"
    with tarfile.open(archive, "w:gz", compresslevel=level) as tar:
        for source in (f"bin/{name}", f"lib/{name}"):
            tar.add(prefix / source, f"python/{source}", recursive=False)
            if (prefix / source).is_dir():
                _add_folder(tar, prefix, prefix / source)
        for library in sorted(prefix.glob(f"lib/lib{name[:7]}*.so*")):
            tar.add(library, f"python/lib/{library.name}")
        for link in ("python", "python3"):
            info = tarfile.TarInfo(f"python/bin/{link}")
            info.type, info.linkname = tarfile.SYMTYPE, name
            tar.addfile(info)


def _add_folder(tar: tarfile.TarFile, prefix: Path, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name in _LEFT_OUT or path.suffix in {".a", ".pyc"}:
            continue
        info = tar.gettarinfo(str(path), f"python/{path.relative_to(prefix)}")
        if path.name.startswith("_sysconfigdata"):
            _add_bytes(tar, info, as_if_installed_elsewhere(path.read_text(), prefix))
        elif info.isreg():
            with path.open("rb") as file:
                tar.addfile(info, file)
        else:
            tar.addfile(info)
        if info.isdir():
            _add_folder(tar, prefix, path)


def as_if_installed_elsewhere(sysconfig_data: str, prefix: Path) -> bytes:
    """Return the build-time variables of a CPython that was built by clang, for /install."""
    moved = sysconfig_data.replace(str(prefix), "/install")
    return re.sub(r"'gcc(?=[' ])", "'clang", moved).encode()


def _add_bytes(tar: tarfile.TarFile, info: tarfile.TarInfo, content: bytes) -> None:
    info.type, info.size = tarfile.REGTYPE, len(content)
    tar.addfile(info, io.BytesIO(content))
