"""The process that `pants run` starts: its arguments, the files beside the script, and the script that calls Docker."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pants.core.goals.run import RunRequest
from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent
from pants.testutil.rule_runner import QueryRule, RuleRunner

from rules.rule_runner import BUILT, SMALL_IMAGE, file_contents
from slim_ray_image.build_image import BuildImageRequest, BuiltImage
from slim_ray_image.compat import create_digest, rule
from slim_ray_image.core.image.references import RegistryReference, parse_image_reference
from slim_ray_image.run_image import (
    RunSlimRayImageFieldSet,
    local_reference,
    run_slim_ray_image,
)
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import SlimRayImageTarget
from slim_ray_image.tools import HostPython, HostPythonRequest, load_program

ADDRESS = Address("src/app", target_name="image")
TAG = SMALL_IMAGE.manifest_descriptor.hex[:12]
REFERENCE = f"slim-ray-image.local/src/app/image:{TAG}"


@rule
async def build_without_building(request: BuildImageRequest) -> BuiltImage:
    """Stand in for the build: one blob, names for registries, and the ports that the target says."""
    tree = await create_digest(CreateDigest([FileContent("blobs/sha256/1", b"layer")]))
    ports = request.field_set.ports.value or ()
    return replace(BUILT, blobs_tree=tree, ports=ports)


@rule
async def this_python(request: HostPythonRequest) -> HostPython:
    """Stand in for Pants' search for the tool Python."""
    return HostPython(sys.executable)


@pytest.fixture(scope="module")
def run_rule_runner() -> RuleRunner:
    return RuleRunner(
        rules=[
            build_without_building,
            this_python,
            load_program,
            run_slim_ray_image,
            *SlimRayImageSubsystem.rules(),
            QueryRule(RunRequest, [RunSlimRayImageFieldSet]),
            QueryRule(DigestContents, [Digest]),
        ],
        target_types=[SlimRayImageTarget],
    )


def run_request(
    rule_runner: RuleRunner,
    *options: str,
    address: Address = ADDRESS,
    **fields: Any,
) -> RunRequest:
    rule_runner.set_options(options)
    target = SlimRayImageTarget({"serve_app": "app.main:app", **fields}, address)
    return rule_runner.request(RunRequest, [RunSlimRayImageFieldSet.create(target)])


def test_image_is_run_by_the_program_with_its_ports(run_rule_runner: RuleRunner) -> None:
    """The reference comes last, so that what a user adds after `--` is the container's command."""
    request = run_request(run_rule_runner, ports=[8000, 8265])
    assert request.args == (
        *(sys.executable, "-B", "-E", "-s", "-S", "{chroot}/run_image.py"),
        *("{chroot}/image", REFERENCE),
        "--rm",
        "--shm-size=1g",
        "--publish",
        "127.0.0.1:8000:8000",
        "--publish",
        "127.0.0.1:8265:8265",
        REFERENCE,
    )
    assert dict(request.extra_env) == {}


def test_arguments_of_docker_run_can_be_set(run_rule_runner: RuleRunner) -> None:
    """`[slim-ray].run_args` replaces the defaults; an image without ports publishes none."""
    request = run_request(run_rule_runner, "--slim-ray-run-args=['--network=host']")
    assert request.args[7:] == (REFERENCE, "--network=host", REFERENCE)


def test_parametrized_image_has_a_name_of_its_own(run_rule_runner: RuleRunner) -> None:
    """The parameters of an address are in its image's name."""
    address = Address("src/app", target_name="image", parameters={"base_image": "py3.11"})
    request = run_request(run_rule_runner, address=address)
    assert request.args[-1] == f"slim-ray-image.local/src/app/image-base_image-py3.11:{TAG}"


def test_program_has_the_image_beside_it(run_rule_runner: RuleRunner) -> None:
    """The files are all blobs, whatever `outputs` says, the names for Docker old and new, and the program."""
    files = file_contents(run_rule_runner, run_request(run_rule_runner, outputs=[]).digest)
    assert sorted(path for path in files if path.startswith("image/")) == [
        "image/blobs/sha256/1",
        "image/index.json",
        "image/manifest.json",
        "image/oci-layout",
    ]
    assert {"run_image.py", "slim_ray_image/sandbox/smoke/run_image.py"} <= set(files)
    (indexed,) = json.loads(files["image/index.json"])["manifests"]
    assert indexed["annotations"]["io.containerd.image.name"] == REFERENCE
    assert json.loads(files["image/manifest.json"]) == [
        {
            "Config": f"blobs/sha256/{SMALL_IMAGE.config_descriptor.hex}",
            "Layers": [f"blobs/sha256/{'1' * 64}"],
            "RepoTags": [REFERENCE],
        }
    ]


@pytest.mark.parametrize(
    ("path", "repository"),
    [
        ("src/app/image", "src/app/image"),
        ("/image", "image"),
        ("Src/My_App/image.v2", "src/my_app/image.v2"),
        ("_src/-app/image_", "src/app/image"),
        ("src/a+b c/image", "src/a-b-c/image"),
        ("src/a.-b/a._b/image", "src/a-b/a-b/image"),
        ("übung/größe", "bung/gr-e"),
        ("日本", "image"),
        ("src/app/image@base_image=py3.10,resolve=a", "src/app/image-base_image-py3.10-resolve-a"),
    ],
    ids=["plain", "root", "capitals", "edges", "signs", "double", "umlauts", "no-ascii", "params"],
)
def test_every_address_gives_a_name_that_docker_takes(path: str, repository: str) -> None:
    """Whatever a folder or a target is called, the reference is valid and has the image's digest as its tag."""
    reference = parse_image_reference(local_reference(path, SMALL_IMAGE))
    assert isinstance(reference, RegistryReference)
    assert (reference.registry, reference.repository) == ("slim-ray-image.local", repository)
    assert reference.tag == TAG


class TestProgram:
    """run_image.py, with a `docker` that writes down how it is called."""

    @pytest.fixture
    def folder(self, run_rule_runner: RuleRunner, tmp_path: Path) -> Path:
        """A folder as Pants writes it for `pants run`, with an empty `bin` for PATH."""
        for name, content in file_contents(
            run_rule_runner, run_request(run_rule_runner).digest
        ).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
        (tmp_path / "bin").mkdir()
        return tmp_path

    def add_docker(
        self,
        folder: Path,
        *,
        answers: bool = True,
        has_image: bool = False,
        load_output: str = "Loaded",
        load_code: int = 0,
    ) -> None:
        docker = folder / "bin" / "docker"
        docker.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >>"{folder}/calls"\n'
            'case "$1" in\n'
            f"version) {'exit 0' if answers else 'echo Cannot connect. >&2; exit 1'};;\n"
            f"image) exit {0 if has_image else 1};;\n"
            f'load) /bin/cat >"{folder}/loaded.tar"; echo {load_output}; exit {load_code};;\n'
            "run) echo served; exit 7;;\n"
            "esac\n"
        )
        docker.chmod(0o755)

    def run(self, folder: Path, *arguments: str) -> Any:
        return subprocess.run(
            [
                *(sys.executable, "-B", "-E", "-s", "-S", str(folder / "run_image.py")),
                *(str(folder / "image"), REFERENCE, *arguments),
            ],
            cwd="/",
            env={"PATH": str(folder / "bin"), "PYTHONPATH": "/nowhere"},
            capture_output=True,
            text=True,
        )

    def calls(self, folder: Path) -> list[str]:
        return (folder / "calls").read_text().splitlines()

    def test_loads_the_image_and_runs_it(self, folder: Path) -> None:
        """The image is loaded from the files beside the program; output and exit code are the container's."""
        self.add_docker(folder)
        result = self.run(folder, "--rm", "an image", "--flag")
        assert (result.returncode, result.stdout) == (7, "served\n")
        assert result.stderr == f"Loading {REFERENCE} into Docker\n"
        assert self.calls(folder) == [
            "version --format {{.Server.Version}}",
            f"image inspect {REFERENCE}",
            "load",
            "run --rm an image --flag",
        ]
        listed = subprocess.check_output(["tar", "-tf", str(folder / "loaded.tar")], text=True)
        assert sorted(listed.split()) == [
            "blobs/",
            "blobs/sha256/",
            "blobs/sha256/1",
            "index.json",
            "manifest.json",
            "oci-layout",
        ]

    def test_says_why_docker_does_not_load(self, folder: Path) -> None:
        """The last lines of `docker load` are the evidence, and nothing is run."""
        self.add_docker(folder, load_output="no space left on device", load_code=1)
        result = self.run(folder)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == (
            f"Loading {REFERENCE} into Docker\nCannot load the image {REFERENCE} into Docker.\n\n"
            "  * no space left on device\n\n"
            "To fix, check that Docker answers and has space left, for example with `docker system df`.\n"
        )

    def test_does_not_load_what_is_there(self, folder: Path) -> None:
        """An image whose digest is already in Docker is run at once."""
        self.add_docker(folder, has_image=True)
        assert self.run(folder).stderr == ""
        assert self.calls(folder) == [
            "version --format {{.Server.Version}}",
            f"image inspect {REFERENCE}",
            "run",
        ]

    def test_says_that_there_is_no_docker(self, folder: Path) -> None:
        """Without Docker on PATH the message says so, and names an alternative."""
        result = self.run(folder)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == (
            "Cannot run the image: there is no `docker` on PATH.\n\n"
            "To fix, install Docker, or run the image of `pants package` elsewhere.\n"
        )

    def test_says_that_docker_does_not_answer(self, folder: Path) -> None:
        """Docker's own last line is in the message."""
        self.add_docker(folder, answers=False)
        result = self.run(folder)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == (
            "Cannot run the image: Docker does not answer: Cannot connect.\n\n"
            "To fix, start Docker, or set DOCKER_HOST to a Docker that runs.\n"
        )
