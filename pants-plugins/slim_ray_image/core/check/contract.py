"""`pants check`: what KubeRay, and Kubernetes, expect of an image that holds Ray.

In: what is in the image, and its config. Out: a problem for each expectation that it does not meet.
KubeRay replaces the command of the Ray container by `/bin/bash -c -- "ulimit ...; ray start ..."`, probes it with bash,
wget and grep, and sets variables of its own; `kuberay` has them, and the version that they are of.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional

from slim_ray_image.core.accounts import find_user, read_passwd
from slim_ray_image.core.check.kuberay import OPERATOR_VARIABLES
from slim_ray_image.core.check.layer_contents import ImageContents
from slim_ray_image.core.errors import Problem
from slim_ray_image.core.image.oci import environment_of
from slim_ray_image.core.image_paths import COMMAND_DIRECTORY, SCRIPTS

# PATH of a login shell, by Debian's /etc/profile: KubeRay can be told to start Ray by one.
_LOGIN_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_SHELL = "/bin/bash"


@dataclass(frozen=True)
class Contract:
    """What the rules look at.

    Attributes:
        image: The address.
        config: The image config's `config`.
        passwd: The base's /etc/passwd.
        is_served: Whether the image has a Ray Serve application.
    """

    image: str
    contents: ImageContents
    config: Mapping[str, Any]
    passwd: str
    is_served: bool

    @property
    def user(self) -> tuple[str, str]:
        user, _, group = (self.config.get("User") or "").partition(":")
        return user, group

    @property
    def workdir(self) -> str:
        return self.config.get("WorkingDir") or "/"

    @property
    def home(self) -> Optional[str]:
        """HOME, else what a container engine takes from /etc/passwd."""
        known = find_user(self.user[0], read_passwd(self.passwd))
        return environment_of(self.config).get("HOME") or (known.home if known else None)


def _on_login_path(contract: Contract, command: str) -> bool:
    return any(contract.contents.has_command(f"{directory}/{command}") for directory in _LOGIN_PATH)


def _base_commands(contract: Contract) -> Iterator[Problem]:
    if not contract.contents.has_command(_SHELL):
        yield Problem(
            f"The image {contract.image} has no {_SHELL}, by which KubeRay starts Ray.",
            fixes=("name a base image in `base_image` that has it, as 'python:3.10-slim'",),
        )
    if not _on_login_path(contract, "grep"):
        yield Problem(
            f"The image {contract.image} has no `grep`, which KubeRay's probes run.",
            fixes=("name a base image in `base_image` that has it, as 'python:3.10-slim'",),
        )


def _probe_command(contract: Contract) -> Iterator[Problem]:
    if not _on_login_path(contract, "wget"):
        yield Problem(
            f"The image {contract.image} has no `wget`, which KubeRay's probes run: every container of it would be "
            "restarted as unhealthy.",
            tuple(f"looked for {directory}/wget" for directory in _LOGIN_PATH),
            (
                "remove what takes it away from `exclude_files`",
                "name a base image in `base_image` that has it",
            ),
        )


def _own_commands(contract: Contract) -> Iterator[Problem]:
    commands = ("python", "ray", *(["serve"] if contract.is_served else []))
    missing = [
        f"{directory}/{command}"
        for command in commands
        for directory in (COMMAND_DIRECTORY, SCRIPTS)
        if not contract.contents.has_command(f"{directory}/{command}")
    ]
    if missing:
        yield Problem(
            f"The image {contract.image} lacks commands that KubeRay and Ray call by name.",
            tuple(f"there is no {path} that can be run" for path in missing),
            (
                "remove what takes them away from `exclude_files`",
                f"name a base image in `base_image` whose own {COMMAND_DIRECTORY} has a `python`",
            ),
        )


def _user(contract: Contract) -> Iterator[Problem]:
    user, _ = contract.user
    if not user.isdigit() or int(user) == 0:
        yield Problem(
            f"The image {contract.image} runs as the user {user or 'root'!r}, which Kubernetes refuses to start under "
            "`runAsNonRoot`: it takes a number other than 0.",
            fixes=("set `user` to numbers, as the default '1000:100'",),
        )


def _is_writable(contract: Contract, path: str) -> bool:
    entry = contract.contents.files.find(path)
    if entry is None or not entry.is_directory:
        return False
    user, group = contract.user
    return (
        user in ("", "0", "root")
        or (str(entry.uid) == user and bool(entry.mode & 0o200))
        or (str(entry.gid) == group and bool(entry.mode & 0o020))
        or bool(entry.mode & 0o002)
    )


def _folders(contract: Contract) -> Iterator[Problem]:
    user, _ = contract.user
    if user and not user.isdigit():  # whose folders only the base's own tables know
        return
    folders = {"the working directory": contract.workdir, "HOME": contract.home}
    wrong = [
        f"{what} is {path or 'not set'}"
        for what, path in folders.items()
        if not path or not _is_writable(contract, path)
    ]
    if wrong:
        yield Problem(
            f"The image {contract.image} has no folder to write to for its user {user} where Ray expects one:",
            tuple(wrong),
            (
                "leave `user`, and HOME in `env`, to their defaults",
                "name folders that the base image has and that belong to this user",
            ),
        )


def _entrypoint(contract: Contract) -> Iterator[Problem]:
    entrypoint = contract.config.get("Entrypoint")
    if entrypoint:
        yield Problem(
            f"The image {contract.image} has the entrypoint {entrypoint!r}, which KubeRay's command would be an "
            f"argument of: it starts Ray by `{_SHELL} -c -- ...`.",
            fixes=("set `entrypoint=[]`, and start what the image runs elsewhere by `cmd`",),
        )


def _import_path(contract: Contract) -> Iterator[Problem]:
    path = environment_of(contract.config).get("PYTHONPATH", "")
    if contract.workdir not in map(posixpath.normpath, filter(None, path.split(":"))):
        yield Problem(
            f"The image {contract.image} has its code in {contract.workdir}, but that is not on PYTHONPATH: {path!r}.",
            fixes=(f"remove PYTHONPATH from `env`, or add {contract.workdir} to it",),
        )


def _variables(contract: Contract) -> Iterator[Problem]:
    baked = sorted(OPERATOR_VARIABLES.keys() & environment_of(contract.config).keys())
    if baked:
        yield Problem(
            f"The image {contract.image} has environment variables that KubeRay sets itself in each container.",
            tuple(baked),
            ("remove them from `env`",),
        )


_RULES: tuple[Callable[[Contract], Iterator[Problem]], ...] = (
    _base_commands,
    _probe_command,
    _own_commands,
    _user,
    _folders,
    _entrypoint,
    _import_path,
    _variables,
)


def contract_problems(contract: Contract) -> tuple[Problem, ...]:
    """Return what KubeRay would stumble over; nothing of an image without Ray."""
    if "ray" not in {distribution.name for distribution in contract.contents.distributions}:
        return ()
    return tuple(problem for rule in _RULES for problem in rule(contract))
