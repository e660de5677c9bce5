"""Stage 4 of 6: input and output of the program that writes the layer `sources`, of first-party files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from slim_ray_image.core.accounts import Account
from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob
from slim_ray_image.core.python.dynamic_imports import DynamicImport
from slim_ray_image.core.python.import_statements import ImportStatement


@dataclass(frozen=True)
class AttributeCheck:
    """A name that the module of a Serve application must define.

    Attributes:
        file: Path of the module's file, relative to the working directory.
        path: Path of the module's file in the repository, for errors.
        module: Dotted name of the module.
        attribute: The name to look up.
        named_by: Place that names `module:attribute`, for errors.
    """

    file: str
    path: str
    module: str
    attribute: str
    named_by: str


@dataclass(frozen=True)
class SourcesLayerRequest:
    """Input of the program that writes the layer of first-party files, the user's account and the home directory.

    Attributes:
        files: Paths of the files, relative to the working directory.
        workdir: Working directory of the image, absolute.
        bytecode: Whether to add the bytecode of the modules.
        checks: Names that modules of Serve applications must define.
        owner: User id and group id that own the working directory.
        account: Account to add to the base, if any.
        passwd: Text of the base's /etc/passwd; "" if there is no account to add.
        group: Text of the base's /etc/group; "" if there is no account to add.
    """

    files: tuple[str, ...]
    workdir: str
    bytecode: bool
    checks: tuple[AttributeCheck, ...]
    owner: tuple[int, int]
    account: Optional[Account]
    passwd: str
    group: str
    base: LayerBase


@dataclass(frozen=True)
class SourcesLayerResult:
    """Output of the program that writes the layer `sources`: its blob, and the imports that its Python sources contain.

    Attributes:
        dynamic_imports: Calls, such as `importlib.import_module`, that import a module by name, unless a call spells
            out a module that is among the files or in the standard library.
        import_statements: Import statements for modules that are neither among the files nor in the standard library.
        uses: Dotted names below distributions with parts that the files use, sorted.
    """

    blob: LayerBlob
    dynamic_imports: tuple[DynamicImport, ...]
    import_statements: tuple[ImportStatement, ...]
    uses: tuple[str, ...]
