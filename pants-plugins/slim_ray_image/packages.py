"""Stage 2 of 6: dependencies that `pants package` can build -> the files and wheels that they add to the image.

As with Pants' `docker_image`, the files of a package go into the image. The file of a `python_distribution` is its
wheel, which is installed like any other distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Sequence

from packaging.utils import canonicalize_name, parse_wheel_filename
from pants.backend.docker.target_types import DockerImageSourceField
from pants.backend.python.target_types import PythonDistributionOutputPathField, PythonProvidesField
from pants.core.goals.package import (
    EnvironmentAwarePackageRequest,
    OutputPathField,
    PackageFieldSet,
)
from pants.core.target_types import RelocatedFilesDestField, RelocatedFilesSrcField
from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, Digest, FileEntry
from pants.engine.rules import collect_rules
from pants.engine.target import Target

from slim_ray_image.compat import (
    create_digest,
    environment_aware_package,
    get_digest_entries,
    implicitly,
    rule,
)
from slim_ray_image.core.closure.closure import PathField
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.wheels.wheel_files import RESULT, WheelFilesRequest, WheelFilesResult
from slim_ray_image.core.wire import from_json
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import SlimRayImageDependencies
from slim_ray_image.tools import read_output, run_on_host

_PATH_FIELDS = (
    OutputPathField,
    PythonDistributionOutputPathField,
    RelocatedFilesDestField,
    RelocatedFilesSrcField,
)


@dataclass(frozen=True)
class PackageFilesRequest:
    """A request for the files that `pants package` makes of a target."""

    field_set: PackageFieldSet


@dataclass(frozen=True)
class PackageFiles:
    """The files that `pants package` makes of a target, at their output paths."""

    entries: tuple[FileEntry, ...]


@dataclass(frozen=True)
class OwnWheelRequest:
    """A request for the wheel that Pants builds of a `python_distribution`, to go into an image."""

    image: Address
    field_set: PackageFieldSet


@dataclass(frozen=True)
class OwnWheel:
    """The wheel that Pants built of a `python_distribution` in the monorepo, with the list of the wheel's files.

    Attributes:
        target: Address of the `python_distribution`.
        path: Path of the wheel in `tree`.
        name: Canonical name (PEP 503).
        files: Paths of the wheel's files in site-packages.
    """

    target: str
    path: str
    name: str
    version: str
    files: frozenset[str]
    tree: Digest


def is_distribution(target: Target) -> bool:
    """Return whether Pants packages the target as a wheel."""
    return target.has_field(PythonProvidesField)


def path_fields(target: Target) -> Iterable[PathField]:
    """Yield the fields of a target that set the paths of its files, such as `output_path`."""
    for field_type in _PATH_FIELDS:
        if target.has_field(field_type):
            value = target[field_type].value
            yield PathField(field_type.alias, str(target.address), str(value or ""))


def check_no_image(image: Address, packages: Iterable[Target]) -> None:
    """Check that none of the packaged targets that an image would contain is itself an image.

    Raises:
        SlimRayImageError: If a package is an image; the error lists all of them.
    """
    images = sorted(
        f"{target.address} is a `{target.alias}`"
        for target in packages
        if target.has_field(SlimRayImageDependencies) or target.has_field(DockerImageSourceField)
    )
    if images:
        raise SlimRayImageError(
            f"The image {image} cannot contain another image, but its direct or transitive `dependencies` do:",
            evidence=images,
            fixes=[
                "depend on the code that both images need",
                "exclude the other image in `dependencies`, with a leading `!!`",
            ],
        )


@rule
async def package_files(request: PackageFilesRequest) -> PackageFiles:
    """Return the files that `pants package` would write for the target; each package is cached by itself."""
    built = await environment_aware_package(EnvironmentAwarePackageRequest(request.field_set))
    entries = await get_digest_entries(built.digest)
    return PackageFiles(tuple(entry for entry in entries if isinstance(entry, FileEntry)))


def _check_wheel(
    image: Address, address: Address, wheels: Sequence[FileEntry], host_built: Sequence[str]
) -> None:
    if len(wheels) != 1:
        raise SlimRayImageError(
            f"The image {image} needs {address} as one wheel, but packaging {address} makes "
            f"{len(wheels) or 'no'} wheel{'s' if wheels else ''}.",
            fixes=[
                f"set `wheel=True` on {address}",
                f"depend on the code in {address} instead of the distribution",
            ],
        )
    file = wheels[0].path.rpartition("/")[2]
    name, _, _, tags = parse_wheel_filename(file)
    is_allowed = name in map(canonicalize_name, host_built)
    if is_allowed or all(tag.platform == "any" and tag.abi == "none" for tag in tags):
        return
    raise SlimRayImageError(
        f"The image {image} cannot contain the distribution {name} of {address}, because its wheel is built against "
        "the libraries of this machine, which can differ from those of the base image.",
        evidence=[f"{file} is not for every platform: the name does not end with `-none-any.whl`"],
        fixes=[
            f"add {name!r} to `[slim-ray].host_built_distributions`, if this machine has no newer glibc than the base "
            "image and the extension modules need no other library",
            f"lock a wheel of {name} from an index, and depend on that requirement",
        ],
    )


@rule
async def build_own_wheel(request: OwnWheelRequest, subsystem: SlimRayImageSubsystem) -> OwnWheel:
    """Return the wheel that Pants builds of a `python_distribution`; runs again when the distribution changes."""
    address = request.field_set.address
    built = await package_files(PackageFilesRequest(request.field_set), **implicitly())
    wheels = [entry for entry in built.entries if entry.path.endswith(".whl")]
    _check_wheel(request.image, address, wheels, subsystem.host_built_distributions)
    (wheel,) = wheels
    tree = await create_digest(CreateDigest([wheel]))
    listed = await run_on_host(
        "wheels.list_wheels",
        WheelFilesRequest((wheel.path,)),
        inputs=tree,
        output_files=(RESULT,),
        description=f"List the files in the wheel of {address}",
    )
    content = from_json(WheelFilesResult, await read_output(listed.output_digest, RESULT))
    name, version, _, _ = parse_wheel_filename(wheel.path.rpartition("/")[2])
    files = frozenset(content.files[wheel.path])
    return OwnWheel(str(address), wheel.path, name, str(version), files, tree)


def rules() -> Iterable[Any]:
    return collect_rules()
