"""Names of Python modules: from paths of files, from relative imports, and of all modules of an image."""

from __future__ import annotations

import keyword
from typing import Iterable, Optional


def is_dotted_name(text: str) -> bool:
    """Return whether an `import` statement can name `text`."""
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def file_module(path: str) -> Optional[str]:
    """Return the dotted name of the module at `path`, relative to a source root; None if no import can name it."""
    stem, _, suffix = path.rpartition(".")
    module = stem.replace("/", ".")
    return module if suffix == "py" and "." not in stem and is_dotted_name(module) else None


def importable_module(path: str) -> Optional[str]:
    """Return the name by which the file at `path` is imported; for an `__init__.py`, the name of its package."""
    module = file_module(path)
    if module is None or module == "__init__":
        return None
    return module[: -len(".__init__")] if module.endswith(".__init__") else module


def absolute_name(name: str, package: Optional[str]) -> Optional[str]:
    """Return the absolute name for a module name that may be relative; None if `name` leads out of `package`."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parents = package.split(".") if package else []
    if level > len(parents):
        return None
    inner = [name[level:]] if name[level:] else []
    return ".".join([*parents[: len(parents) - level + 1], *inner])


def modules_of(paths: Iterable[str]) -> frozenset[str]:
    """Return the dotted names of every module and package that first-party files provide, from the files' paths."""
    found = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        if not name.endswith((".py", ".so")):
            continue
        module = name.split(".")[0]
        parts = [*filter(None, folder.split("/")), *([] if module == "__init__" else [module])]
        found |= {".".join(parts[: end + 1]) for end in range(len(parts))}
    return frozenset(found)


def outermost_modules(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the outermost modules and regular packages of an installed distribution, sorted.

    A namespace package is left out, since other distributions may have parts of it: its children count instead.

    Args:
        paths: Paths of the distribution's files, relative to site-packages.
    """
    files = {path for path in paths if path.endswith((".py", ".so")) and path[0] != "."}
    found = set()
    for path in files:
        *folders, name = path.split("/")
        packages = (folders[: end + 1] for end in range(len(folders)))
        regular = (p for p in packages if "/".join([*p, "__init__.py"]) in files)
        found.add(".".join(next(regular, [*folders, name.split(".")[0]])))
    return tuple(sorted(found))


class HeldModules:
    """A set of modules that can be imported, such as those of an image.

    Args:
        modules: Names of modules and packages. A package here does not include its submodules: each is listed too.
        packages: Packages that are complete: any name below one counts as present. A parent of a package counts too,
            but not its other children.
    """

    def __init__(self, *, modules: Iterable[str] = (), packages: Iterable[str] = ()) -> None:
        self._packages = frozenset(packages)
        self._names = frozenset(modules) | {
            ".".join(parts[: end + 1])
            for parts in (package.split(".") for package in self._packages)
            for end in range(len(parts))
        }

    def has(self, module: str) -> bool:
        parts = module.split(".")
        return module in self._names or any(
            ".".join(parts[:end]) in self._packages for end in range(len(parts))
        )
