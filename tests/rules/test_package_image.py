"""The outputs of `pants package`: image.json always, and the outputs that the field or the option `outputs` selects."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Optional, Sequence

import pytest
from conftest import Golden
from pants.core.goals.package import BuiltPackage
from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent
from pants.testutil.rule_runner import QueryRule, RuleRunner

from rules.rule_runner import BUILT, DESCRIPTION, error_text, file_contents
from slim_ray_image.build_image import BuildImageRequest, BuiltImage
from slim_ray_image.compat import create_digest, rule
from slim_ray_image.field_sets import SlimRayImageFieldSet
from slim_ray_image.outputs import Archive, ArchiveRequest
from slim_ray_image.pack_pex import PackedPex, PackPexRequest
from slim_ray_image.package_image import package_slim_ray_image
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import SlimRayImageTarget

ADDRESS = Address("src/app", target_name="image")
FOLDER = "src.app/image"
OWN, BASE = "blobs/sha256/own", "blobs/sha256/base"


@rule
async def build_without_building(request: BuildImageRequest) -> BuiltImage:
    """Stand in for the build: one of our blobs and one of the base."""
    own = FileContent(OWN, b"own")
    sparse = await create_digest(CreateDigest([own]))
    complete = await create_digest(CreateDigest([own, FileContent(BASE, b"base")]))
    names = ("registry.example.com/app:1", "app:latest", "app:1")
    return replace(
        BUILT,
        description=replace(DESCRIPTION, reference=names),
        blobs_tree=complete,
        sparse_blobs_tree=sparse,
    )


@rule
async def pack_requirements(request: PackPexRequest) -> PackedPex:
    """Stand in for the process that packs a PEX: its content is the list of requirements."""
    assert request.is_output
    content = FileContent("requirements.pex/PEX-INFO", " ".join(request.requirements).encode())
    return PackedPex(await create_digest(CreateDigest([content])))


@rule
async def write_names(request: ArchiveRequest) -> Archive:
    """Stand in for the process that writes the archive: its content is the list of names."""
    content = FileContent("image.tar", " ".join(request.references).encode())
    return Archive(await create_digest(CreateDigest([content])))


@pytest.fixture(scope="module")
def package_rule_runner() -> RuleRunner:
    return RuleRunner(
        rules=[
            build_without_building,
            write_names,
            pack_requirements,
            package_slim_ray_image,
            *SlimRayImageSubsystem.rules(),
            QueryRule(BuiltPackage, [SlimRayImageFieldSet]),
            QueryRule(DigestContents, [Digest]),
        ],
        target_types=[SlimRayImageTarget],
    )


def field_set(address: Address = ADDRESS, **fields: Any) -> SlimRayImageFieldSet:
    target = SlimRayImageTarget({"serve_app": "app.main:app", **fields}, address)
    return SlimRayImageFieldSet.create(target)


def package(
    rule_runner: RuleRunner, outputs: Optional[Sequence[str]], option: Optional[Sequence[str]]
) -> dict[str, bytes]:
    """Return the files written below the target's folder, with the field and the option if they are given."""
    rule_runner.set_options([] if option is None else [f"--slim-ray-outputs={list(option)!r}"])
    fields: dict[str, Any] = {} if outputs is None else {"outputs": outputs}
    built = rule_runner.request(BuiltPackage, [field_set(**fields)])
    (artifact,) = built.artifacts
    assert artifact.relpath == FOLDER
    files = file_contents(rule_runner, built.digest)
    assert all(path.startswith(f"{FOLDER}/") for path in files)
    return {path[len(FOLDER) + 1 :]: content for path, content in files.items()}


MARKERS = {"oci/index.json", "oci/oci-layout"}
COMPLETE = {*MARKERS, f"oci/{OWN}", f"oci/{BASE}"}
SPARSE = {*MARKERS, f"oci/{OWN}"}


@pytest.mark.parametrize(
    ("field", "option", "expected"),
    [
        pytest.param(None, None, COMPLETE, id="default"),
        pytest.param(["layout"], None, COMPLETE, id="layout"),
        pytest.param(["sparse-layout"], None, SPARSE, id="sparse layout"),
        pytest.param(["archive"], None, {"image.tar"}, id="archive"),
        pytest.param(["pex"], None, {"requirements.pex/PEX-INFO"}, id="PEX"),
        pytest.param(["archive", "sparse-layout"], None, {"image.tar", *SPARSE}, id="two"),
        pytest.param([], None, set(), id="nothing"),
        pytest.param(None, ["archive"], {"image.tar"}, id="option"),
        pytest.param(None, [], set(), id="empty option"),
        pytest.param(["layout"], ["archive"], COMPLETE, id="field wins"),
        pytest.param([], ["archive"], set(), id="empty field wins"),
    ],
)
def test_outputs_are_selected(
    field: Optional[Sequence[str]],
    option: Optional[Sequence[str]],
    expected: set[str],
    package_rule_runner: RuleRunner,
) -> None:
    """The field selects the outputs, or else the option; image.json is always written."""
    assert set(package(package_rule_runner, field, option)) == {"image.json", *expected}


def test_layout_has_each_tag_once_and_the_archive_each_name(
    package_rule_runner: RuleRunner,
) -> None:
    """A tag in two registries is one entry of index.json, while an archive has both names."""
    files = package(package_rule_runner, ["layout", "archive"], None)
    manifests = json.loads(files["oci/index.json"])["manifests"]
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in manifests] == [
        "1",
        "latest",
    ]
    assert files["image.tar"] == b"registry.example.com/app:1 app:latest app:1"


def test_parametrized_targets_have_folders_of_their_own(package_rule_runner: RuleRunner) -> None:
    """The parameters of an address are in the output path, as for every other target of Pants."""
    address = Address("src/app", target_name="image", parameters={"base_image": "py3.11"})
    package_rule_runner.set_options([])
    built = package_rule_runner.request(BuiltPackage, [field_set(address)])
    (artifact,) = built.artifacts
    assert artifact.relpath == "src.app/image@base_image=py3_11"


def test_option_that_cannot_be_written_is_an_error(
    package_rule_runner: RuleRunner, golden: Golden
) -> None:
    """The message names the option, because the target is not at fault."""
    package_rule_runner.set_options(["--slim-ray-outputs=['layout', 'sparse-layout']"])
    text = error_text(package_rule_runner, BuiltPackage, [field_set()])
    golden.check("errors/image/outputs-of-option.txt", text)
