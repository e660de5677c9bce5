"""`pants check`: rules of KubeRay and Kubernetes for an image with Ray.

In: the contents of the image, and its config. Out: a problem for each rule that the image breaks.
KubeRay replaces the command of the Ray container by `/bin/bash -c -- "ulimit ...; ray start ..."`, probes the container
with bash, wget and grep, and sets environment variables. The module `kuberay` has the command, the probes, the
variables and the version of KubeRay that uses them.
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

# PATH that Debian's /etc/profile sets in a login shell: KubeRay can be configured to start Ray in one.
_LOGIN_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_SHELL = "/bin/bash"


@dataclass(frozen=True)
class Contract:
    """An image as the rules of KubeRay see it: its files, its image config, and the base image's /etc/passwd.

    Attributes:
        image: Address of the target.
        config: The image config's `config`.
        passwd: Text of the base image's /etc/passwd.
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
        """Home directory of the image's user, by HOME in the image config or else by /etc/passwd; None if unknown."""
        known = find_user(self.user[0], read_passwd(self.passwd))
        return environment_of(self.config).get("HOME") or (known.home if known else None)


def _on_login_path(contract: Contract, command: str) -> bool:
    return any(contract.contents.has_command(f"{directory}/{command}") for directory in _LOGIN_PATH)


def _base_commands(contract: Contract) -> Iterator[Problem]:
    if not contract.contents.has_command(_SHELL):
        yield Problem(
            f"The image {contract.image} has no {_SHELL}, which KubeRay uses to start Ray.",
            fixes=("name a base image in `base_image` that has it, such as 'python:3.10-slim'",),
        )
    if not _on_login_path(contract, "grep"):
        yield Problem(
            f"The image {contract.image} has no `grep`, which KubeRay's probes run.",
            fixes=("name a base image in `base_image` that has it, such as 'python:3.10-slim'",),
        )


def _probe_command(contract: Contract) -> Iterator[Problem]:
    if not _on_login_path(contract, "wget"):
        yield Problem(
            f"The image {contract.image} has no `wget`, which KubeRay's probes run: Kubernetes would restart each "
            "container as unhealthy.",
            tuple(f"looked for {directory}/wget" for directory in _LOGIN_PATH),
            (
                "remove the pattern that matches it from `exclude_files`",
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
            tuple(f"{path} is missing or not executable" for path in missing),
            (
                "remove the patterns that match them from `exclude_files`",
                f"name a base image in `base_image` whose own {COMMAND_DIRECTORY} has a `python`",
            ),
        )


def _user(contract: Contract) -> Iterator[Problem]:
    user, _ = contract.user
    if not user.isdigit() or int(user) == 0:
        yield Problem(
            f"The image {contract.image} runs as the user {user or 'root'!r}. Under `runAsNonRoot`, Kubernetes starts "
            "only an image whose user is a number other than 0.",
            fixes=("set `user` to numbers, such as the default '1000:100'",),
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
    if user and not user.isdigit():  # the names' numbers are only in the base's own tables
        return
    folders = {"the working directory": contract.workdir, "HOME": contract.home}
    wrong = [
        f"{what} is {path or 'not set'}"
        for what, path in folders.items()
        if not path or not _is_writable(contract, path)
    ]
    if wrong:
        yield Problem(
            f"The image {contract.image} runs as the user {user}, who cannot write to folders that Ray writes to.",
            tuple(wrong),
            (
                "remove `user`, and HOME in `env`, so that the defaults apply",
                "name folders that the base image has and that belong to this user",
            ),
        )


def _entrypoint(contract: Contract) -> Iterator[Problem]:
    entrypoint = contract.config.get("Entrypoint")
    if entrypoint:
        yield Problem(
            f"The image {contract.image} has the entrypoint {entrypoint!r}. KubeRay starts Ray by `{_SHELL} -c -- "
            "...`, which would become an argument of the entrypoint.",
            fixes=(
                "set `entrypoint=[]`, and use `cmd` for the command that the image runs outside KubeRay",
            ),
        )


def _import_path(contract: Contract) -> Iterator[Problem]:
    path = environment_of(contract.config).get("PYTHONPATH", "")
    if contract.workdir not in map(posixpath.normpath, filter(None, path.split(":"))):
        yield Problem(
            f"The image {contract.image} has its code in {contract.workdir}, which is not on PYTHONPATH: {path!r}.",
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
    """Return a problem for each rule of KubeRay or Kubernetes that an image breaks; none for an image without Ray."""
    if "ray" not in {distribution.name for distribution in contract.contents.distributions}:
        return ()
    return tuple(problem for rule in _RULES for problem in rule(contract))
