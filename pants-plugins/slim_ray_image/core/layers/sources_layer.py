"""Stage 4 of 6: what the process of the layer of the first-party files is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from slim_ray_image.core.accounts import Account
from slim_ray_image.core.layers.layer_blob import LayerBase, LayerBlob
from slim_ray_image.core.python.dynamic_imports import DynamicImport
from slim_ray_image.core.python.import_statements import ImportStatement


@dataclass(frozen=True)
class AttributeCheck:
    """A name to look up in the module of a Serve application.

    Attributes:
        file: Its path below the working directory.
        path: In the repository.
        named_by: Who names `module:attribute`, for errors.
    """

    file: str
    path: str
    module: str
    attribute: str
    named_by: str


@dataclass(frozen=True)
class SourcesLayerRequest:
    """A request for the layer of the first-party files, of the user's account and home.

    Attributes:
        files: Their paths below the working directory.
        owner: uid and gid of the working directory.
        passwd: /etc/passwd of the base, where there is an account to add.
        group: /etc/group, likewise.
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
    """The written layer.

    Attributes:
        dynamic_imports: What the files import by name that is neither theirs nor Python's own.
        import_statements: The same of their import statements.
        uses: What they use of the distributions that have parts, sorted.
    """

    blob: LayerBlob
    dynamic_imports: tuple[DynamicImport, ...]
    import_statements: tuple[ImportStatement, ...]
    uses: tuple[str, ...]
