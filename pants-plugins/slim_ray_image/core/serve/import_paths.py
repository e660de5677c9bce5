"""Stage 1 of 6: parse the fields `serve_app` and `entry_point`.

In: the field's text. Out: a module (or a file beside the BUILD file), an attribute, arguments.
`serve_app` has the grammar of Ray Serve's `import_path`, `module.path:attribute`:
https://docs.ray.io/en/releases-2.48.0/serve/production-guide/config.html
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Optional

from slim_ray_image.core.errors import InvalidValueError
from slim_ray_image.core.python.module_names import is_dotted_name


@dataclass(frozen=True)
class ImportPath:
    """`module:attribute`, the place from which Ray Serve imports an application."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


@dataclass(frozen=True)
class EntryPoint:
    """A Python module or file that an image runs as its program, with arguments.

    Attributes:
        module: Dotted name of the module; None if `file` is set.
        file: Path relative to the folder of the BUILD file; None if `module` is set.
        script: Path of the module's file, relative to the working directory, if the command names the path. Python then
            runs the file as a script, not as part of a package.
    """

    module: Optional[str]
    file: Optional[str]
    arguments: tuple[str, ...]
    script: Optional[str] = None


def parse_import_path(text: str) -> ImportPath:
    """Return module and attribute of an import path, such as "services.echo.app:app".

    Raises:
        InvalidValueError: If `text` is not `module.path:attribute`.
    """
    module, separator, attribute = text.partition(":")
    if separator and is_dotted_name(module) and is_dotted_name(attribute) and "." not in attribute:
        return ImportPath(module, attribute)
    raise InvalidValueError(
        f"must be an import path `module.path:attribute`, but was {text!r}.",
        fixes=[
            "name the module and the variable of the bound application, such as 'services.echo.app:app'"
        ],
    )


def parse_application_path(text: str) -> ImportPath:
    """Return the module and the attribute that an `import_path` of a Serve config names.

    Unlike `serve_app`, the key may also have the form `module.path.attribute`.

    Raises:
        InvalidValueError: If `text` has neither form.
    """
    module, _, attribute = text.rpartition(".")
    return parse_import_path(text if ":" in text or not module else f"{module}:{attribute}")


def parse_entry_point(text: str) -> EntryPoint:
    """Parse a program to run: a module or a `.py` file, then arguments, split like words of a POSIX shell.

    Raises:
        InvalidValueError: If the first word is neither a module nor a relative `.py` path, or quotes are unbalanced.
    """
    fix = [
        "name a module or a file beside the BUILD file, then its arguments, such as 'driver.py --rounds 3'"
    ]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidValueError(
            f"must be a module or a `.py` file, optionally followed by arguments, but was {text!r} ({error}).",
            fixes=fix,
        ) from error
    if words:
        first, arguments = words[0], tuple(words[1:])
        if first.endswith(".py") and not first.startswith("/") and ".." not in first.split("/"):
            return EntryPoint(None, first, arguments)
        if not first.endswith(".py") and is_dotted_name(first):
            return EntryPoint(first, None, arguments)
    raise InvalidValueError(
        f"must be a module or a `.py` file, optionally followed by arguments, but was {text!r}.",
        fixes=fix,
    )
