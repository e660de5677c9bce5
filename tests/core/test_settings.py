"""Tests of core.image.settings."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from slim_ray_image.core.accounts import Account
from slim_ray_image.core.image.oci import ImageSettings
from slim_ray_image.core.image.settings import TargetSettings, image_settings
from slim_ray_image.core.serve.import_paths import EntryPoint, ImportPath
from slim_ray_image.core.serve.serve_config import ImageConfig, ServeConfig


def settings_of(
    *,
    account: Optional[Account] = None,
    entry_path: Optional[str] = None,
    **changes: Any,
) -> ImageSettings:
    """Return the settings of an image whose target sets `changes`."""
    values: dict[str, Any] = {
        "serve_app": None,
        "config": None,
        "entry_point": None,
        "user": "1000:100",
        "workdir": "/app",
        "env": {},
        "ports": None,
        "labels": {},
        "entrypoint": None,
        "cmd": None,
    }
    target = TargetSettings(**{**values, **changes})
    return image_settings(target, base_path="/usr/bin:/bin", account=account, entry_path=entry_path)


APP = ImportPath("services.echo.app", "app")


def test_image_without_an_app_keeps_the_base_s_command_and_exposes_nothing() -> None:
    """A target with nothing to run sets the environment, and keeps the base's command and ports."""
    assert settings_of(workdir="/srv") == ImageSettings(
        user="1000:100",
        workdir="/srv",
        env=(("PATH", "/opt/venv/bin:/usr/bin:/bin"), ("PYTHONPATH", "/srv")),
        ports=(),
        labels=(),
        entrypoint=None,
        cmd=None,
        stop_signal=None,
    )


def test_image_of_a_serve_app_runs_it_where_others_reach_it() -> None:
    """A Serve application is run by `serve run` on all interfaces; Serve's port is exposed; SIGINT stops it."""
    settings = settings_of(serve_app=APP)
    assert settings.cmd == ("serve", "run", "services.echo.app:app")
    assert settings.ports == (8000,)
    assert settings.stop_signal == "SIGINT"
    assert dict(settings.env)["RAY_SERVE_DEFAULT_HTTP_HOST"] == "0.0.0.0"


def test_image_of_a_serve_config_runs_it_by_its_absolute_path() -> None:
    """A Serve config is run by its absolute path, and its own ports are exposed."""
    settings = settings_of(
        config=ImageConfig("a.yaml", ServeConfig("", (), (8001, 9001))), workdir="/srv"
    )
    assert settings.cmd == ("serve", "run", "/srv/serve_config.yaml")
    assert settings.ports == (8001, 9001)
    assert settings.stop_signal == "SIGINT"
    assert dict(settings.env)["RAY_SERVE_DEFAULT_HTTP_HOST"] == "0.0.0.0"


def test_image_of_a_job_s_manifest_runs_its_command() -> None:
    """The entry point of a RayJob is run; nothing is served, and no port is exposed."""
    job = ImageConfig("job.yaml", entry_point=EntryPoint("jobs.driver", None, ("--rounds", "3")))
    settings = settings_of(config=job, entry_path="jobs/driver.py")
    assert settings.cmd == ("python", "-m", "jobs.driver", "--rounds", "3")
    assert (settings.ports, settings.stop_signal) == ((), None)
    script = EntryPoint("jobs.driver", None, ("--rounds", "3"), "jobs/driver.py")
    by_path = settings_of(config=ImageConfig("job.yaml", entry_point=script))
    assert by_path.cmd == ("python", "jobs/driver.py", "--rounds", "3")


@pytest.mark.parametrize(
    ("entry_point", "entry_path", "command"),
    [
        pytest.param(
            EntryPoint("jobs.train", None, ("--x", "a b")),
            "jobs/train.py",
            ("python", "-m", "jobs.train", "--x", "a b"),
            id="module",
        ),
        pytest.param(
            EntryPoint("ray.scripts", None, ()),
            None,
            ("python", "-m", "ray.scripts"),
            id="third-party module",
        ),
        pytest.param(
            EntryPoint(None, "driver.py", ("3",)),
            "jobs/driver.py",
            ("python", "-m", "jobs.driver", "3"),
            id="file",
        ),
        pytest.param(
            EntryPoint(None, "__init__.py", ()),
            "jobs/__init__.py",
            ("python", "-m", "jobs.__init__"),
            id="file of a package",
        ),
        pytest.param(
            EntryPoint("jobs", None, ()), "jobs/__main__.py", ("python", "-m", "jobs"), id="package"
        ),
    ],
)
def test_image_of_an_entry_point_runs_it_as_a_module(
    entry_point: EntryPoint, entry_path: Optional[str], command: tuple[str, ...]
) -> None:
    """An entry point is run by `python -m`, a file by its module name; no port is exposed."""
    settings = settings_of(entry_point=entry_point, entry_path=entry_path)
    assert settings.cmd == command
    assert settings.ports == ()
    assert "RAY_SERVE_DEFAULT_HTTP_HOST" not in dict(settings.env)


@pytest.mark.parametrize("cmd", [(), ("bash", "-c", "sleep 1")])
def test_command_of_the_target_wins(cmd: tuple[str, ...]) -> None:
    """`cmd` replaces the command for the app, even if `cmd` is empty."""
    assert settings_of(serve_app=APP, cmd=cmd).cmd == cmd


def test_entrypoint_of_the_target_keeps_the_app_s_command() -> None:
    """With an `entrypoint`, the command for the app stays, and becomes its arguments."""
    settings = settings_of(serve_app=APP, entrypoint=("tini", "--"))
    assert (settings.entrypoint, settings.cmd) == (
        ("tini", "--"),
        ("serve", "run", "services.echo.app:app"),
    )


@pytest.mark.parametrize("ports", [(), (9000, 9001)])
def test_ports_of_the_target_win(ports: tuple[int, ...]) -> None:
    """`ports` replaces Serve's port, even if `ports` is empty."""
    assert settings_of(serve_app=APP, ports=ports).ports == ports


def test_environment_of_the_target_wins() -> None:
    """`env` adds variables, and replaces the image's variables of the same name."""
    settings = settings_of(
        serve_app=APP,
        env={"PYTHONPATH": "/other", "RAY_SERVE_DEFAULT_HTTP_HOST": "::", "MODE": "x"},
    )
    assert settings.env == (
        ("PATH", "/opt/venv/bin:/usr/bin:/bin"),
        ("PYTHONPATH", "/other"),
        ("RAY_SERVE_DEFAULT_HTTP_HOST", "::"),
        ("MODE", "x"),
    )


def test_home_is_that_of_the_added_account() -> None:
    """HOME is the home of the added account, unless the target sets another."""
    account = Account(1000, 100, "/home/ray", passwd="", group="")
    assert dict(settings_of(account=account).env)["HOME"] == "/home/ray"
    assert dict(settings_of(account=account, env={"HOME": "/tmp"}).env)["HOME"] == "/tmp"
    assert "HOME" not in dict(settings_of().env)


def test_labels_are_sorted() -> None:
    """The order of `labels` in a BUILD file does not matter."""
    assert settings_of(labels={"b": "2", "a": "1"}).labels == (("a", "1"), ("b", "2"))
