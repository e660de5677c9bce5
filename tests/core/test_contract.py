"""Tests of core.check.contract: each rule of KubeRay is broken once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Optional

import pytest
from conftest import Golden

from slim_ray_image.core.check.contract import Contract, contract_problems
from slim_ray_image.core.check.layer_contents import (
    KIND_DIRECTORY,
    KIND_FILE,
    KIND_SYMLINK,
    ImageFile,
    LayerContents,
    LayerDistribution,
    image_contents,
)
from slim_ray_image.core.errors import format_problems

PROGRAM = ImageFile(KIND_FILE, 0o755, 0, 0)
OWN_FOLDER = ImageFile(KIND_DIRECTORY, 0o755, 1000, 100)
FILES: Mapping[str, ImageFile] = {
    "bin": ImageFile(KIND_SYMLINK, 0o777, 0, 0, link="usr/bin"),
    "usr/bin/bash": PROGRAM,
    "usr/bin/grep": PROGRAM,
    "usr/local/bin/wget": PROGRAM,
    "usr/local/bin/python3.10": PROGRAM,
    "usr/local/bin/python": ImageFile(KIND_SYMLINK, 0o777, 0, 0, link="python3.10"),
    "usr/local/bin/ray": ImageFile(KIND_SYMLINK, 0o777, 0, 0, link="/opt/venv/bin/ray"),
    "usr/local/bin/serve": ImageFile(KIND_SYMLINK, 0o777, 0, 0, link="/opt/venv/bin/serve"),
    "opt/venv/bin/python": ImageFile(KIND_SYMLINK, 0o777, 0, 0, link="/usr/local/bin/python3.10"),
    "opt/venv/bin/ray": PROGRAM,
    "opt/venv/bin/serve": PROGRAM,
    "app": OWN_FOLDER,
    "home/ray": OWN_FOLDER,
}
ENVIRONMENT = {"PATH": "/opt/venv/bin:/usr/local/bin:/usr/bin", "PYTHONPATH": "/app"}
RAY = LayerDistribution("ray", "2.48.0", (), (), ())


def contract(
    *,
    without: tuple[str, ...] = (),
    files: Mapping[str, ImageFile] = {},
    environment: Mapping[str, str] = {},
    distributions: tuple[LayerDistribution, ...] = (RAY,),
    **config: Any,
) -> Contract:
    """Return an image that breaks no rule, except by the changes of a test."""
    entries = {path: f for path, f in {**FILES, **files}.items() if path not in without}
    variables = {**ENVIRONMENT, "HOME": "/home/ray", **environment}
    return Contract(
        "src/app:image",
        image_contents([], [LayerContents(tuple(entries.items()), distributions)]),
        {
            "User": "1000:100",
            "WorkingDir": "/app",
            "Env": [f"{name}={value}" for name, value in variables.items() if value],
            **config,
        },
        "root:x:0:0:root:/root:/bin/bash\nray:x:1000:100::/home/ray:/bin/bash\n",
        True,
    )


def subject(broken: Contract) -> Optional[str]:
    problems = contract_problems(broken)
    assert len(problems) <= 1, problems
    return problems[0].subject if problems else None


def test_good_image_has_no_problem() -> None:
    """An image of the plugin for a service on Debian breaks no rule."""
    assert contract_problems(contract()) == ()


def test_image_without_ray_is_not_for_kuberay() -> None:
    """The rules do not apply to an image without Ray."""
    assert contract_problems(contract(distributions=(), User="root", Entrypoint=["x"])) == ()


@pytest.mark.parametrize("path", ["usr/bin/bash", "usr/bin/grep", "usr/local/bin/wget"])
def test_command_of_probe_or_start_is_missed(path: str) -> None:
    """The problem names the missing command."""
    assert path.rpartition("/")[2] in str(subject(contract(without=(path,))))


def test_command_that_cannot_be_run_is_missed() -> None:
    """A file without an execute bit, or a dangling symlink, counts as a missing command."""
    file = ImageFile(KIND_FILE, 0o644, 0, 0)
    assert "wget" in str(subject(contract(files={"usr/local/bin/wget": file})))
    assert "bash" in str(subject(contract(without=("bin", "usr/bin/bash"))))


def test_wget_of_the_base_will_do() -> None:
    """A `wget` of the base image is enough."""
    assert (
        subject(contract(without=("usr/local/bin/wget",), files={"usr/bin/wget": PROGRAM})) is None
    )


@pytest.mark.parametrize("user", ["0", "", "root", "ray", "0:0"])
def test_user_must_be_a_number_other_than_root_s(user: str) -> None:
    """Root is refused, and so is a name, since Kubernetes cannot verify that a name is not root."""
    assert "runAsNonRoot" in str(subject(contract(User=user)))


def test_serve_is_expected_of_an_image_that_serves() -> None:
    """`serve` is required only if the image serves; `ray` and `python` always are."""
    without = contract(without=("opt/venv/bin/serve",))
    assert "lacks commands" in str(subject(without))
    assert subject(replace(without, is_served=False)) is None


@pytest.mark.parametrize(
    "folder",
    [
        ImageFile(KIND_DIRECTORY, 0o755, 0, 0),
        ImageFile(KIND_DIRECTORY, 0o555, 1000, 100),
        ImageFile(KIND_FILE, 0o644, 1000, 100),
        None,
    ],
    ids=["of root", "read-only", "a file", "not there"],
)
@pytest.mark.parametrize("path", ["app", "home/ray"])
def test_workdir_and_home_must_be_the_user_s_to_write(
    path: str, folder: Optional[ImageFile]
) -> None:
    """A working directory or HOME that the user cannot write to is a problem, since Ray writes to both."""
    broken = contract(files={path: folder}) if folder else contract(without=(path,))
    assert "cannot write to folders" in str(subject(broken))


@pytest.mark.parametrize(
    "folder",
    [
        ImageFile(KIND_DIRECTORY, 0o1777, 0, 0),
        ImageFile(KIND_DIRECTORY, 0o775, 0, 100),
    ],
    ids=["anyone's", "of the group"],
)
def test_folder_may_be_writable_by_others(folder: ImageFile) -> None:
    """A folder of another user is accepted if its mode lets the image's user write."""
    assert subject(contract(files={"home/ray": folder})) is None


def test_home_of_a_known_user_is_that_of_its_account() -> None:
    """Without HOME in the config, the home is that in /etc/passwd."""
    assert subject(contract(environment={"HOME": ""})) is None
    assert "HOME is not set" in str(
        contract_problems(contract(environment={"HOME": ""}, User="7"))[0]
    )
    assert contract(environment={"HOME": ""}, User="").home == "/root"


def test_all_problems_are_told_at_once(golden: Golden) -> None:
    """All problems are reported together, each with its own fix."""
    broken = contract(
        without=("usr/bin/grep", "usr/bin/bash", "usr/local/bin/wget", "opt/venv/bin/ray"),
        files={"home/ray": ImageFile(KIND_DIRECTORY, 0o755, 0, 0)},
        environment={"RAY_ADDRESS": "auto", "REDIS_PASSWORD": "x", "PYTHONPATH": "/lib"},
        Entrypoint=["/entry.sh"],
    )
    text = format_problems([*contract_problems(broken), *contract_problems(contract(User="root"))])
    golden.check("errors/check/check-contract.txt", text)
