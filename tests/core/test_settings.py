"""Tests of core.settings."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from conftest import error_text

from slim_ray_image.core.import_paths import EntryPoint, ImportPath
from slim_ray_image.core.oci import ImageSettings
from slim_ray_image.core.serve_config import ImageConfig, ServeConfig
from slim_ray_image.core.settings import (
    Account,
    TargetSettings,
    account_of,
    image_settings,
    owner_of,
)

PASSWD = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
GROUP = "root:x:0:\ndaemon:x:1:\nusers:x:100:\n"


def test_account_of_a_user_that_the_base_lacks() -> None:
    """A numeric user that the base does not know becomes `ray`, with a home and a shell."""
    assert account_of("1000:100", PASSWD, GROUP) == Account(
        uid=1000,
        gid=100,
        home="/home/ray",
        passwd="ray:x:1000:100::/home/ray:/bin/bash",
        group="",
    )


def test_account_s_group_is_added_where_the_base_lacks_it() -> None:
    """A group that the base does not know is made known by the account's name."""
    account = account_of("1000:1234", PASSWD, GROUP)
    assert account is not None
    assert (account.gid, account.group) == (1234, "ray:x:1234:")


def test_account_s_group_is_the_user_s_number_when_none_is_named() -> None:
    """A user without a group has the group of the same number."""
    account = account_of("1000", PASSWD, GROUP)
    assert account is not None
    assert (account.passwd, account.group) == (
        "ray:x:1000:1000::/home/ray:/bin/bash",
        "ray:x:1000:",
    )


def test_account_has_another_name_where_the_base_has_a_ray() -> None:
    """The name `ray` of another user of the base is not taken from it."""
    account = account_of("2000:2000", PASSWD + "ray:x:1000:100::/home/ray:/bin/sh\n", GROUP)
    assert account is not None
    assert (account.passwd, account.group) == (
        "ray2000:x:2000:2000::/home/ray:/bin/bash",
        "ray2000:x:2000:",
    )


@pytest.mark.parametrize(
    "user",
    [
        pytest.param("0", id="uid of the base"),
        pytest.param("1:100", id="uid of the base, another group"),
        pytest.param("root", id="name"),
        pytest.param("root:root", id="names"),
        pytest.param("1000:users", id="name of a group"),
        pytest.param("ray:100", id="name that the base lacks"),
        pytest.param("", id="none"),
    ],
)
def test_no_account_is_added_for_a_user_that_the_base_must_know(user: str) -> None:
    """A uid that the base knows needs no account, and a name cannot be given one."""
    assert account_of(user, PASSWD, GROUP) is None


@pytest.mark.parametrize("table", ["", "\n", "# comment\n", "broken\n", "+::::::\n", "a:x:b:c\n"])
def test_account_is_added_to_tables_with_lines_of_other_forms(table: str) -> None:
    """Empty tables and lines that are no entries know nobody."""
    account = account_of("1000:100", table, table)
    assert account is not None
    assert account.group == "ray:x:100:"


def settings_of(
    *,
    account: Optional[Account] = None,
    entry_path: Optional[str] = None,
    **changes: Any,
) -> ImageSettings:
    """The settings of an image whose target says `changes`."""
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
    """A target that names nothing to run gets its environment and no more."""
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
    """A Serve application is run by `serve run`, on all interfaces, with Serve's port exposed, and stopped as by Ctrl-C."""
    settings = settings_of(serve_app=APP)
    assert settings.cmd == ("serve", "run", "services.echo.app:app")
    assert settings.ports == (8000,)
    assert settings.stop_signal == "SIGINT"
    assert dict(settings.env)["RAY_SERVE_DEFAULT_HTTP_HOST"] == "0.0.0.0"


def test_image_of_a_serve_config_runs_it_by_its_absolute_path() -> None:
    """The config in the working directory is what is served, at its own ports, wherever a container's shell starts."""
    settings = settings_of(
        config=ImageConfig("a.yaml", ServeConfig("", (), (8001, 9001))), workdir="/srv"
    )
    assert settings.cmd == ("serve", "run", "/srv/serve_config.yaml")
    assert settings.ports == (8001, 9001)
    assert settings.stop_signal == "SIGINT"
    assert dict(settings.env)["RAY_SERVE_DEFAULT_HTTP_HOST"] == "0.0.0.0"


def test_image_of_a_job_s_manifest_runs_its_command() -> None:
    """A RayJob is an entry point: nothing is served, and no port is exposed."""
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
    """An entry point is run by `python -m`, a file by the module that it is, and exposes nothing."""
    settings = settings_of(entry_point=entry_point, entry_path=entry_path)
    assert settings.cmd == command
    assert settings.ports == ()
    assert "RAY_SERVE_DEFAULT_HTTP_HOST" not in dict(settings.env)


@pytest.mark.parametrize("cmd", [(), ("bash", "-c", "sleep 1")])
def test_command_of_the_target_wins(cmd: tuple[str, ...]) -> None:
    """`cmd` replaces the command that is made for the app, though it be empty."""
    assert settings_of(serve_app=APP, cmd=cmd).cmd == cmd


def test_entrypoint_of_the_target_keeps_the_app_s_command() -> None:
    """With an `entrypoint`, the app's command is its arguments."""
    settings = settings_of(serve_app=APP, entrypoint=("tini", "--"))
    assert (settings.entrypoint, settings.cmd) == (
        ("tini", "--"),
        ("serve", "run", "services.echo.app:app"),
    )


@pytest.mark.parametrize("ports", [(), (9000, 9001)])
def test_ports_of_the_target_win(ports: tuple[int, ...]) -> None:
    """`ports` replaces Serve's port, though it be empty."""
    assert settings_of(serve_app=APP, ports=ports).ports == ports


def test_environment_of_the_target_wins() -> None:
    """`env` adds to what the image sets, and replaces what has the same name."""
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
    """An account that is added brings its HOME, which a target may still replace."""
    account = account_of("1000:100", PASSWD, GROUP)
    assert dict(settings_of(account=account).env)["HOME"] == "/home/ray"
    assert dict(settings_of(account=account, env={"HOME": "/tmp"}).env)["HOME"] == "/tmp"
    assert "HOME" not in dict(settings_of().env)


def test_labels_are_sorted() -> None:
    """The order of `labels` in a BUILD file does not matter."""
    assert settings_of(labels={"b": "2", "a": "1"}).labels == (("a", "1"), ("b", "2"))


@pytest.mark.parametrize(
    ("user", "owner"),
    [
        pytest.param("1000:100", (1000, 100), id="numbers"),
        pytest.param("1000", (1000, 1000), id="a number the base does not know"),
        pytest.param("1", (1, 1), id="a number the base knows"),
        pytest.param("daemon", (1, 1), id="a name"),
        pytest.param("daemon:users", (1, 100), id="a name and a group"),
        pytest.param("0", (0, 0), id="root"),
    ],
)
def test_owner_is_who_the_image_runs_as(user: str, owner: tuple[int, int]) -> None:
    """The working directory's owner is the user and its group, by number or as the base's tables say."""
    assert owner_of(user, PASSWD, GROUP) == owner


def test_user_that_the_base_does_not_know_is_refused() -> None:
    """A name without a line in the base's passwd would keep a container from starting."""
    assert error_text(lambda: owner_of("ray:users", PASSWD, GROUP)) == (
        "The base image does not know the `user` 'ray:users'.\n\n"
        "  * it knows the user 'daemon'\n"
        "  * it knows the user 'root'\n\n"
        "To fix, do one of the following:\n"
        "  * use numbers, as '1000:100'\n"
        "  * use names that the base image knows"
    )
