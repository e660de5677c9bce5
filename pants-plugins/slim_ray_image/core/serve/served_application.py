"""A Ray Serve application of an image, as image.json describes it and `pants test` deploys it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class ServedApplication:
    """A Ray Serve application that an image serves.

    Attributes:
        route_prefix: The application's HTTP route; None if it has no route.
        import_path: The import path, such as "services.echo.app:app".
        args: Names of the arguments of an application builder. Their values may be secret.
    """

    name: str
    route_prefix: Optional[str]
    import_path: str
    args: tuple[str, ...] = ()
