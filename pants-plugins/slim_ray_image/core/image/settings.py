"""Stage 5 of 6: settings of the image config, from the fields of a target and defaults for a Ray service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

from slim_ray_image.core.accounts import Account
from slim_ray_image.core.image.oci import ImageSettings
from slim_ray_image.core.image_paths import SCRIPTS
from slim_ray_image.core.serve.import_paths import EntryPoint, ImportPath
from slim_ray_image.core.serve.ray import SERVE_HTTP_PORT
from slim_ray_image.core.serve.serve_config import SERVE_CONFIG_FILE, ImageConfig


@dataclass(frozen=True)
class TargetSettings:
    """The fields of a target with the values in the BUILD file; None for an unset field.

    Attributes:
        config: Content of the file in the field `serve_config`.
    """

    serve_app: Optional[ImportPath]
    config: Optional[ImageConfig]
    entry_point: Optional[EntryPoint]
    user: str
    workdir: str
    env: Mapping[str, str]
    ports: Optional[tuple[int, ...]]
    labels: Mapping[str, str]
    entrypoint: Optional[tuple[str, ...]]
    cmd: Optional[tuple[str, ...]]

    @property
    def program(self) -> Optional[EntryPoint]:
        """The program that the image runs if it serves no application."""
        return self.entry_point or (self.config.entry_point if self.config else None)

    @property
    def serve_config(self) -> Optional[str]:
        """Path of the Serve config in the image; None without one."""
        return f"{self.workdir}/{SERVE_CONFIG_FILE}" if self.config and self.config.serve else None

    @property
    def is_service(self) -> bool:
        return bool(self.serve_app or self.serve_config)

    @property
    def default_ports(self) -> tuple[int, ...]:
        if self.config and self.config.serve:
            return self.config.serve.ports
        return (SERVE_HTTP_PORT,) if self.serve_app else ()


def _default_command(
    settings: TargetSettings, entry_module: Optional[str]
) -> Optional[tuple[str, ...]]:
    if settings.is_service:
        return ("serve", "run", settings.serve_config or str(settings.serve_app))
    if settings.program and settings.program.script:
        return ("python", settings.program.script, *settings.program.arguments)
    if settings.program and entry_module:
        return ("python", "-m", entry_module, *settings.program.arguments)
    return None


def image_settings(
    settings: TargetSettings,
    *,
    base_path: str,
    account: Optional[Account],
    entry_path: Optional[str],
) -> ImageSettings:
    """Return the values for the image config: the target's fields, else defaults for a Ray service.

    Args:
        base_path: PATH of the base image.
        account: Account that is added to the base image for the user.
        entry_path: First-party file that the image runs, relative to its source root.
    """
    env = {"PATH": f"{SCRIPTS}:{base_path}", "PYTHONPATH": settings.workdir}
    if account:
        env["HOME"] = account.home
    if settings.is_service:
        # By default Serve listens on 127.0.0.1, which is unreachable from outside a container.
        env["RAY_SERVE_DEFAULT_HTTP_HOST"] = "0.0.0.0"
    env.update(settings.env)
    module = settings.program.module if settings.program else None
    if settings.program and entry_path and not module:
        # For `__init__.py` this names the file itself: `python -m` with the package's name would run its `__main__`.
        module = entry_path[: -len(".py")].replace("/", ".")
    return ImageSettings(
        user=settings.user,
        workdir=settings.workdir,
        env=tuple(env.items()),
        ports=settings.default_ports if settings.ports is None else settings.ports,
        labels=tuple(sorted(settings.labels.items())),
        entrypoint=settings.entrypoint,
        cmd=settings.cmd if settings.cmd is not None else _default_command(settings, module),
        # On SIGINT `serve run` shuts its replicas down and exits with 0; on SIGTERM it dies with a C++ stack trace.
        stop_signal="SIGINT" if settings.is_service else None,
    )
