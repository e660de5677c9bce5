"""The repository of these tests: a temporary folder, with the backends that every user of the plugin has.

In: BUILD files and sources, as text. Out: the result of a rule of the plugin, or the whole text of its error.
"""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Sequence, Type

import pytest
from pants.backend.docker import register as docker
from pants.backend.project_info import register as project_info
from pants.backend.python import register as python
from pants.backend.shell import register as shell
from pants.core import register as core
from pants.core.goals.tailor import PutativeTargets
from pants.engine.addresses import Address, Addresses
from pants.engine.fs import CreateDigest, DigestContents, FileDigest, FileEntry
from pants.engine.internals.native_engine import EMPTY_DIGEST, Digest
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.target import (
    DependenciesRequest,
    InvalidTargetException,
    WrappedTarget,
    WrappedTargetRequest,
)
from pants.testutil.rule_runner import QueryRule, RuleRunner
from pants.util.frozendict import FrozenDict

from slim_ray_image import register
from slim_ray_image.base_image import (
    BaseBlobs,
    BaseBlobsRequest,
    BaseImageRequest,
    PreparedBase,
)
from slim_ray_image.build_image import BuiltImage
from slim_ray_image.closure import ImageClosure, ImageClosureRequest
from slim_ray_image.core.base.base_facts import BaseFacts, MarkerEnvironment
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image.image_description import DescribedBase, ImageDescription, Totals
from slim_ray_image.core.image.names import ImageNames
from slim_ray_image.core.image.oci import BaseImage, Descriptor, Image
from slim_ray_image.core.platforms import LINUX_AMD64
from slim_ray_image.dependency_inference import (
    EntryFieldSet,
    EntryOwner,
    EntryOwners,
    EntryOwnersRequest,
)
from slim_ray_image.image_names import ImageNamesRequest
from slim_ray_image.pack_pex import PackPexRequest
from slim_ray_image.serve_config import ConfigWarning, ConfigWarningRequest
from slim_ray_image.tailor import PutativeSlimRayImagesRequest
from slim_ray_image.target_types import SlimRayImageDependencies
from slim_ray_image.tools import (
    BaseInterpreter,
    BaseTools,
    NetworkSettings,
    Program,
    ProgramRequest,
    Uv,
)

OPTIONS = (
    "--source-root-patterns=['src']",
    "--python-enable-resolves",
    "--python-resolves={'main': 'main.lock', 'other': 'other.lock'}",
    "--python-default-resolve=main",
    "--python-interpreter-constraints=['CPython==3.10.*']",
    "--python-infer-use-rust-parser",
)
IMAGE = Address("src/app", target_name="image")
# Stand-in for a built image, where a test builds none.
SMALL_IMAGE = Image(
    manifest=b"the manifest",
    config=b"the config",
    layers=(Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "sha256:" + "1" * 64, 1),),
    platform=LINUX_AMD64,
)

_NO_FACTS = BaseFacts(
    launcher="",
    python="",
    python_version="",
    glibc="",
    marker_environment=MarkerEnvironment(*("" for _ in fields(MarkerEnvironment))),
    directories=(),
    commands=(),
    programs=(),
    has_bytecode=False,
    passwd="",
    group="",
    layer_sizes=(),
)


def make_interpreter(**facts: Any) -> BaseInterpreter:
    """Return a stand-in for a base's interpreter with only these facts; no process runs it."""
    return BaseInterpreter(EMPTY_DIGEST, "linux/amd64", replace(_NO_FACTS, **facts))


INTERPRETER = make_interpreter()
# Stand-ins for a base's tools, for a PEX that they would pack, and for the base.
TOOLS = BaseTools(EMPTY_DIGEST, Uv(EMPTY_DIGEST))
PEX = PackPexRequest(("foo==1.0",), (), FrozenDict(), INTERPRETER, TOOLS, "src/app:image")
BASE = PreparedBase(BaseImage("", "", "", (), ""), EMPTY_DIGEST, INTERPRETER, TOOLS, 0)
CLOSURE = ImageClosure(
    resolve="main",
    requirements=(),
    files=(),
    wheels=(),
    wheels_tree=EMPTY_DIGEST,
    entries=(),
    config=None,
    ray_uses=(),
    ray_extras=(),
)
DESCRIPTION = ImageDescription(
    target="src/app:image",
    applications=(),
    serve_config=None,
    reference=("app:1",),
    platform="linux/amd64",
    manifest_digest="sha256:12",
    config_digest="sha256:34",
    base=DescribedBase("python:3.10-slim", "sha256:56", "", "3.10.18", "glibc 2.36"),
    layers=(),
    requirements=(),
    files=(),
    pruned=(),
    ray_extras=(),
    totals=Totals(1, 2, 1, 2),
    warnings=(),
)
BUILT = BuiltImage(
    image=SMALL_IMAGE,
    base=BASE,
    closure=CLOSURE,
    layers=(),
    blobs_tree=EMPTY_DIGEST,
    sparse_blobs_tree=EMPTY_DIGEST,
    description=DESCRIPTION,
    ports=(),
    pex=PEX,
)


def make_rule_runner(*backends: Any) -> RuleRunner:
    """Return a runner with the rule graph of a repository that uses the Python backend and the plugin; it takes 4 s.

    Args:
        backends: Further backends, as their modules `register`.
    """
    return RuleRunner(
        rules=[
            *core.rules(),
            *docker.rules(),
            *project_info.rules(),
            *python.rules(),
            *shell.rules(),
            *register.rules(),
            *(rule for backend in backends for rule in backend.rules()),
            QueryRule(Addresses, [DependenciesRequest]),
            QueryRule(BaseBlobs, [BaseBlobsRequest]),
            QueryRule(BaseImage, [BaseImageRequest]),
            QueryRule(Digest, [CreateDigest]),
            QueryRule(DigestContents, [Digest]),
            QueryRule(ConfigWarning, [ConfigWarningRequest]),
            QueryRule(EntryOwners, [EntryOwnersRequest]),
            QueryRule(ImageClosure, [ImageClosureRequest]),
            QueryRule(ImageNames, [ImageNamesRequest]),
            QueryRule(NetworkSettings, []),
            QueryRule(Program, [ProgramRequest]),
            QueryRule(PutativeTargets, [PutativeSlimRayImagesRequest]),
        ],
        target_types=[
            *core.target_types(),
            *docker.target_types(),
            *python.target_types(),
            *shell.target_types(),
            *register.target_types(),
            *(target_type for backend in backends for target_type in backend.target_types()),
        ],
        aliases=[
            core.build_file_aliases(),
            python.build_file_aliases(),
            register.build_file_aliases(),
        ],
    )


def empty_repository(rule_runner: RuleRunner) -> None:
    """Remove the files of earlier tests, and set the options of `OPTIONS` again; empty lockfiles remain."""
    for path in Path(rule_runner.build_root).iterdir():
        if path.name == ".pants.d":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    rule_runner.write_files({"main.lock": "", "other.lock": ""})
    rule_runner.scheduler.invalidate_all_files()
    rule_runner.set_options(OPTIONS)


def write(rule_runner: RuleRunner, files: dict[str, str]) -> None:
    """Write sources and BUILD files below src/."""
    rule_runner.write_files({f"src/{path}": content for path, content in files.items()})


def entry_field_set(rule_runner: RuleRunner, address: Address = IMAGE) -> EntryFieldSet:
    return EntryFieldSet.create(rule_runner.get_target(address))


def find_owners(rule_runner: RuleRunner, address: Address = IMAGE) -> EntryOwners:
    request = EntryOwnersRequest(entry_field_set(rule_runner, address))
    return rule_runner.request(EntryOwners, [request])


def find_owner(rule_runner: RuleRunner, address: Address = IMAGE) -> EntryOwner:
    """Return the owner of the only module or file that an image starts with."""
    (owner,) = find_owners(rule_runner, address).owners
    return owner


def find_closure(rule_runner: RuleRunner, address: Address = IMAGE) -> ImageClosure:
    request = ImageClosureRequest(entry_field_set(rule_runner, address))
    return rule_runner.request(ImageClosure, [request])


def direct_dependencies(rule_runner: RuleRunner, address: Address = IMAGE) -> list[str]:
    field = rule_runner.get_target(address)[SlimRayImageDependencies]
    addresses = rule_runner.request(Addresses, [DependenciesRequest(field)])
    return [str(found) for found in addresses]


def file_contents(rule_runner: RuleRunner, tree: Digest) -> dict[str, bytes]:
    contents = rule_runner.request(DigestContents, [tree])
    return {file.path: file.content for file in contents}


def closure_contents(rule_runner: RuleRunner, closure: ImageClosure) -> dict[str, bytes]:
    """Map the path of each first-party file in the image to its content."""
    entries = [
        FileEntry(file.path, FileDigest(file.sha256, file.bytes), file.is_executable)
        for file in closure.files
    ]
    return file_contents(rule_runner, rule_runner.request(Digest, [CreateDigest(entries)]))


def error_text(
    rule_runner: RuleRunner,
    output_type: Type[Any],
    inputs: Sequence[Any],
    error_type: Type[Exception] = SlimRayImageError,
) -> str:
    """Return the whole text of the error that a request raises."""
    with pytest.raises(ExecutionError) as caught:
        rule_runner.request(output_type, inputs)
    (error,) = caught.value.wrapped_exceptions
    assert isinstance(error, error_type), repr(error)
    return str(error)


def closure_error(rule_runner: RuleRunner, address: Address = IMAGE) -> str:
    request = ImageClosureRequest(entry_field_set(rule_runner, address))
    return error_text(rule_runner, ImageClosure, [request])


def target_error(rule_runner: RuleRunner, address: Address) -> str:
    request = WrappedTargetRequest(address, description_of_origin="the test")
    return error_text(rule_runner, WrappedTarget, [request], InvalidTargetException)
