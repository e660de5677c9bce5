"""Fields of a `slim_ray_image` target -> the requests for the stages of its image's build."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Callable, Sequence, TypeVar

from pants.core.goals.package import OutputPathField, PackageFieldSet
from pants.engine.target import StringSequenceField

from slim_ray_image.base_image import BaseImageRequest
from slim_ray_image.closure import ImageClosure, ImageClosureRequest
from slim_ray_image.core.errors import InvalidValueError
from slim_ray_image.core.image.outputs import parse_outputs
from slim_ray_image.core.image.settings import TargetSettings
from slim_ray_image.core.layers.pruning import Pruning, parse_pruning
from slim_ray_image.dependency_inference import EntryFieldSet
from slim_ray_image.image_names import ImageNamesRequest
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.target_types import (
    BaseImageField,
    BytecodeField,
    CmdField,
    EntrypointField,
    EnvField,
    ExcludeFilesField,
    ImageTagsField,
    LabelsField,
    LayerBudgetField,
    OutputsField,
    PlatformsField,
    PortsField,
    PruneField,
    RayExtrasField,
    RegistriesField,
    RepositoryField,
    UserField,
    WorkdirField,
)

T = TypeVar("T")


@dataclass(frozen=True)
class SlimRayImageFieldSet(EntryFieldSet, PackageFieldSet):
    """The fields of a `slim_ray_image` target that the build of its image reads."""

    ray_extras: RayExtrasField
    base_image: BaseImageField
    platforms: PlatformsField
    env: EnvField
    ports: PortsField
    labels: LabelsField
    user: UserField
    workdir: WorkdirField
    entrypoint: EntrypointField
    cmd: CmdField
    layer_budget: LayerBudgetField
    bytecode: BytecodeField
    prune: PruneField
    exclude_files: ExcludeFilesField
    repository: RepositoryField
    registries: RegistriesField
    image_tags: ImageTagsField
    outputs: OutputsField
    output_path: OutputPathField

    @property
    def image(self) -> str:
        """Address of the target, for messages."""
        return str(self.address)

    @property
    def platform(self) -> str:
        """Platform of the image, such as "linux/amd64"."""
        (platform,) = self.platforms.value or ()
        return platform


def closure_request(field_set: SlimRayImageFieldSet) -> ImageClosureRequest:
    """Return the request for the closure of a target: everything that its code needs."""
    # Exactly the field set of inference, so that inference and the closure share the results for a target's entries.
    entry = EntryFieldSet(**{f.name: getattr(field_set, f.name) for f in fields(EntryFieldSet)})
    return ImageClosureRequest(entry, field_set.ray_extras.value)


def base_image_request(
    field_set: SlimRayImageFieldSet, subsystem: SlimRayImageSubsystem
) -> BaseImageRequest:
    """Return the request for the base image of a target."""
    reference = field_set.base_image.value or subsystem.default_base_image
    return BaseImageRequest(reference, field_set.platform)


def names_request(field_set: SlimRayImageFieldSet) -> ImageNamesRequest:
    """Return the request for the names of a target's image."""
    return ImageNamesRequest(
        field_set.address, field_set.repository, field_set.registries, field_set.image_tags
    )


def target_settings(field_set: SlimRayImageFieldSet, closure: ImageClosure) -> TargetSettings:
    """Return the values of the fields that the image config depends on."""
    return TargetSettings(
        serve_app=field_set.serve_app.import_path,
        config=closure.config,
        entry_point=field_set.entry_point.entry_point,
        user=field_set.user.value,
        workdir=field_set.workdir.value,
        env=field_set.env.value or {},
        ports=field_set.ports.value,
        labels=field_set.labels.value or {},
        entrypoint=field_set.entrypoint.value,
        cmd=field_set.cmd.value,
    )


def _chosen(
    field: StringSequenceField, option: Sequence[str], parse: Callable[[Sequence[str]], T]
) -> T:
    """Return the value of a field or, if it is not set, of the option of the same name, which is checked only here."""
    if field.value is not None:
        return parse(field.value)
    try:
        return parse(option)
    except InvalidValueError as error:
        raise error.of(f"The option `[slim-ray].{field.alias}`") from error


def chosen_pruning(field_set: SlimRayImageFieldSet, subsystem: SlimRayImageSubsystem) -> Pruning:
    """Return the selected rules for files to leave out, by the field `prune` or, if it is not set, the option."""
    return _chosen(field_set.prune, subsystem.prune, parse_pruning)


def chosen_outputs(
    field_set: SlimRayImageFieldSet, subsystem: SlimRayImageSubsystem
) -> frozenset[str]:
    """Return the names of the outputs of `pants package`, by the field `outputs` or, if it is not set, the option."""
    return _chosen(field_set.outputs, subsystem.outputs, parse_outputs)
