"""The `slim_ray_image` target and its fields. A field that Pants' `docker_image` also has keeps its name here."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Iterable, Optional, Tuple, TypeVar, Union

from pants.backend.python.target_types import PythonResolveField
from pants.core.goals.package import OutputPathField
from pants.engine.addresses import Address
from pants.engine.target import (
    COMMON_TARGET_FIELDS,
    BoolField,
    Dependencies,
    DictStringToStringField,
    IntField,
    InvalidFieldException,
    InvalidTargetException,
    OptionalSingleSourceField,
    OverridesField,
    SequenceField,
    StringField,
    StringSequenceField,
    Target,
    TargetGenerator,
    TriBoolField,
    ValidNumbers,
)
from pants.util.frozendict import FrozenDict
from pants.util.strutil import help_text

from slim_ray_image.compat import EnvironmentField
from slim_ray_image.core.check.smoke_requests import (
    EXAMPLE,
    WrongSmokeRequest,
    parse_smoke_requests,
)
from slim_ray_image.core.check.smoke_test import SmokeRequest
from slim_ray_image.core.errors import InvalidValueError
from slim_ray_image.core.image.field_values import (
    INFER,
    LARGEST_LAYER_BUDGET,
    check_env,
    check_labels,
    check_layer_budget,
    check_platforms,
    check_ports,
    check_ray_extras,
    check_user,
    check_workdir,
)
from slim_ray_image.core.image.names import ALL_DEFAULT_REGISTRIES
from slim_ray_image.core.image.outputs import parse_outputs
from slim_ray_image.core.image.references import parse_image_reference
from slim_ray_image.core.layers.exclude_files import parse_exclude_files
from slim_ray_image.core.layers.plan import SMALLEST_LAYER_BUDGET
from slim_ray_image.core.layers.prune_help import describe_rules
from slim_ray_image.core.layers.pruning import parse_pruning
from slim_ray_image.core.serve.import_paths import (
    EntryPoint,
    ImportPath,
    parse_entry_point,
    parse_import_path,
)

DEFAULT_USER = "1000:100"


_Value = TypeVar("_Value")


def _checked(field: Any, value: _Value, address: Address) -> _Value:
    """Check a field's value and return it; re-raise the check's error with the names of the field and the target."""
    if value is not None:
        try:
            field.check(value)
        except InvalidValueError as error:
            place = f"The `{field.alias}` field in target {address}"
            raise InvalidFieldException(str(error.of(place))) from error
    return value


# Two classes, because the help that Pants prints shows the type from the annotation of `compute_value`.
class _CheckedString(StringField):
    check: ClassVar[Any]  # a static method

    @classmethod
    def compute_value(cls, raw_value: Optional[str], address: Address) -> Optional[str]:
        return _checked(cls, super().compute_value(raw_value, address), address)


class _CheckedStrings(StringSequenceField):
    check: ClassVar[Any]  # a static method

    @classmethod
    def compute_value(
        cls, raw_value: Optional[Iterable[str]], address: Address
    ) -> Optional[Tuple[str, ...]]:
        return _checked(cls, super().compute_value(raw_value, address), address)


class ServeAppField(_CheckedString):
    alias = "serve_app"
    check = staticmethod(parse_import_path)
    help = help_text(
        """
        The Ray Serve application to serve, as Ray Serve's import path `module.path:attribute`.

        The image contains the module's owner and everything that the module imports. The image's default command is
        `serve run` of the import path, listening on all interfaces on port 8000. The module must define the attribute;
        a class, or a deployment that is not bound yet, is an error. This check does not import the module.

        For example, `serve_app="services.echo.app:app"`. Set at most one of `serve_app`, `serve_config` and
        `entry_point`.
        """
    )

    @property
    def import_path(self) -> Optional[ImportPath]:
        return parse_import_path(self.value) if self.value else None


class ServeConfigField(OptionalSingleSourceField):
    alias = "serve_config"
    uses_source_roots = False
    help = help_text(
        """
        The Ray Serve applications to serve, as a file in the BUILD file's folder or below: a Serve config, such as
        `serve build` writes, or a KubeRay manifest with one RayService (`spec.serveConfigV2`) or RayJob
        (`spec.entrypoint`).

        The image contains the owner of each application's `import_path`, everything that these modules import, and the
        config, as `serve_config.yaml` in the working directory. The image's default command is `serve run` of that
        file. For a RayJob, the default command is the job's command.

        For example, `serve_config="rayservice.yaml"`. Set at most one of `serve_app`, `serve_config` and
        `entry_point`.
        """
    )


class ServeApplicationField(StringField):
    alias = "serve_application"
    help = help_text(
        """
        The name of one application of `serve_config`: the image serves this application only. Default: all
        applications.
        """
    )


class EntryPointField(_CheckedString):
    alias = "entry_point"
    check = staticmethod(parse_entry_point)
    help = help_text(
        """
        A driver or a job to run: a module, or a `.py` file beside the BUILD file, with its arguments.

        The image contains the module's owner and everything that the module imports. The image's default command is
        `python -m` of the module, with the arguments.

        For example, `entry_point="driver.py --rounds 3"` or `entry_point="jobs.nightly"`. Set at most one of
        `serve_app`, `serve_config` and `entry_point`. Without any of the three, the image contains only
        `dependencies`.
        """
    )

    @property
    def entry_point(self) -> Optional[EntryPoint]:
        return parse_entry_point(self.value) if self.value else None


class SlimRayImageDependencies(Dependencies):
    supports_transitive_excludes = True


class RayExtrasField(StringSequenceField):
    alias = "ray_extras"
    check = staticmethod(check_ray_extras)
    help = help_text(
        f"""
        The extras of Ray to install, as a list, instead of the extras in the requirement. Or `"{INFER}"`, the default:
        the extras that the code needs, according to its imports from `ray`.

        With `"{INFER}"`, `ray.serve` requires `serve`, as do `serve_app` and a `serve_config` with Serve applications;
        `ray.data` and `ray.air` require `data`; `ray.train`, `ray.tune` and `ray.rllib` require the extra of the same
        name and `data`; `ray.llm`, `ray.serve.llm` and `ray.data.llm` require `llm`; an address that starts with
        `ray://` requires `client`. Every image has `default`, which is also a part of `serve`: the head of a Ray
        cluster and its health checks need it. Extras that no import implies, such as `observability`, stay as required.

        `ray_extras` in image.json lists the extras that were kept, added and dropped, with reasons. For example,
        `ray_extras=["serve-grpc"]`.
        """
    )

    @classmethod
    def compute_value(
        cls, raw_value: Union[str, Iterable[str], None], address: Address
    ) -> Optional[Tuple[str, ...]]:
        if raw_value == INFER:
            return None
        if isinstance(raw_value, str):
            _checked(cls, raw_value, address)
        return _checked(cls, super().compute_value(raw_value, address), address)


class BaseImageField(_CheckedString):
    alias = "base_image"
    check = staticmethod(parse_image_reference)
    help = help_text(
        """
        The image to build on: a reference to an image in a registry, by tag or digest, or a local OCI image layout as
        `oci:PATH[:TAG]`, with PATH absolute or relative to the build root. It must contain glibc and the CPython of the
        resolve.

        Default: `[slim-ray].default_base_image`, which is `python:3.10-slim`. Pin the digest
        (`python:3.10-slim@sha256:...`) so that the image changes only when the repository changes.
        """
    )


class PlatformsField(_CheckedStrings):
    alias = "platforms"
    check = staticmethod(check_platforms)
    default = ("linux/amd64",)
    help = help_text(
        """
        The OCI platforms to build for. Only `linux/amd64` is supported.
        """
    )


class EnvField(DictStringToStringField):
    alias = "env"
    check = staticmethod(check_env)
    help = help_text(
        """
        Environment variables of the image, in addition to those of the base. For example,
        `env={"LOG_LEVEL": "info"}`.
        """
    )

    @classmethod
    def compute_value(
        cls, raw_value: Optional[Dict[str, str]], address: Address
    ) -> Optional[FrozenDict[str, str]]:
        return _checked(cls, super().compute_value(raw_value, address), address)


class PortsField(SequenceField[int]):
    alias = "ports"
    check = staticmethod(check_ports)
    expected_element_type = int
    expected_type_description = "a list of port numbers"
    help = help_text(
        """
        The TCP ports that the image listens on. They are recorded in the image config, and `pants run` maps them.

        Default: with `serve_app`, `[8000]`, Ray Serve's HTTP port; with `serve_config`, the ports in that config;
        otherwise none.
        """
    )

    @classmethod
    def compute_value(
        cls, raw_value: Optional[Iterable[int]], address: Address
    ) -> Optional[Tuple[int, ...]]:
        return _checked(cls, super().compute_value(raw_value, address), address)


class LabelsField(DictStringToStringField):
    alias = "labels"
    check = staticmethod(check_labels)
    help = help_text(
        """
        Labels of the image config, in addition to those of the base. For example,
        `labels={"org.opencontainers.image.source": "https://git.example.com/monorepo"}`.

        Names that start with `slim-ray-image.` are reserved for the plugin's containers: this field rejects them, and
        the base's labels with such names are removed.
        """
    )

    @classmethod
    def compute_value(
        cls, raw_value: Optional[Dict[str, str]], address: Address
    ) -> Optional[FrozenDict[str, str]]:
        return _checked(cls, super().compute_value(raw_value, address), address)


class UserField(_CheckedString):
    alias = "user"
    check = staticmethod(check_user)
    default = DEFAULT_USER
    value: str
    help = help_text(
        """
        The user that the image runs as, in the form of the image config: `uid`, `uid:gid` or a user name of the base.

        The default is numeric, so that Kubernetes' `runAsNonRoot` can see that it is not root. It is the uid and gid
        of Ray's own images. A numeric uid without an account in the base gets the name `ray` and the writable home
        `/home/ray`.
        """
    )


class WorkdirField(_CheckedString):
    alias = "workdir"
    check = staticmethod(check_workdir)
    default = "/app"
    value: str
    help = help_text(
        """
        The working directory. It contains the first-party files, with source roots stripped, and is on `PYTHONPATH`.
        """
    )


class EntrypointField(StringSequenceField):
    alias = "entrypoint"
    help = help_text(
        """
        The image config's `Entrypoint`. Default: the base's entrypoint; `python:3.10-slim` has none. An entrypoint
        would swallow the command with which KubeRay starts Ray.
        """
    )


class CmdField(StringSequenceField):
    alias = "cmd"
    help = help_text(
        """
        The image config's `Cmd`. Default: the command that runs `serve_app`, `serve_config` or `entry_point`; without
        any of the three, the base's command.
        """
    )


class LayerBudgetField(IntField):
    alias = "layer_budget"
    check = staticmethod(check_layer_budget)
    default = 16
    value: int
    help = help_text(
        f"""
        The maximum number of layers that the image adds to its base, from {SMALLEST_LAYER_BUDGET} to
        {LARGEST_LAYER_BUDGET}.

        The lowest layer contains files that the base lacks and is the same in every image (see `bytecode`). Then Ray,
        each large distribution (5 MB unpacked or more, before pruning), and each part of Ray that only some services
        need, get a layer each, largest first, as long as the budget lasts; all services share these layers. The other
        distributions share one layer. The first-party files are the last layer. If the budget is more than
        {SMALLEST_LAYER_BUDGET}, first-party files of 1 MB or more that are not Python sources get a separate layer.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: Optional[int], address: Address) -> Optional[int]:
        return _checked(cls, super().compute_value(raw_value, address), address)


class BytecodeField(BoolField):
    alias = "bytecode"
    default = True
    value: bool
    help = help_text(
        """
        Whether to put the bytecode of every module into the image, as unchecked-hash pycs (PEP 552). If the base lacks
        the bytecode of the standard library, it is added too. With bytecode, a Ray service starts in less than half
        the time; without it, the image is smaller by about a tenth.
        """
    )


class PruneField(_CheckedStrings):
    alias = "prune"
    check = staticmethod(parse_pruning)
    help = help_text(
        f"""
        The rules that remove files from distributions, where a service does not need them: `default` selects the rules
        that are on by default, `all` selects every rule, `!` before a name deselects a rule, and `[]` prunes nothing.
        `distribution:NAME` removes a whole distribution that other distributions require and no first-party code
        imports. Whether the others work without it is not checked; `pip check` would report it as missing.

        Default: `[slim-ray].prune`, which is `["default"]`. For example, `prune=["default", "dashboard-ui", "!tests"]`.

        On by default:

        {describe_rules(True)}

        Others:

        {describe_rules(False)}

        `METADATA`, entry points and licences stay, and `RECORD` lists the files that remain. `image.json` lists what
        was removed.
        """
    )


class ExcludeFilesField(StringSequenceField):
    alias = "exclude_files"
    check = staticmethod(parse_exclude_files)
    help = help_text(
        """
        Files to leave out because the image does not need them at run time: paths in the image, absolute or relative to
        site-packages, with `*` for any characters except `/`, and `**` for any folders. A match on a folder includes
        everything below the folder. The patterns apply to the layers that the plugin writes, not to the base's layers.
        A layer that loses files this way is no longer shared with other images.

        For example, `exclude_files=["sklearn/datasets/images", "/usr/local/bin/serve"]`.
        """
    )

    @classmethod
    def compute_value(
        cls, raw_value: Optional[Iterable[str]], address: Address
    ) -> Optional[Tuple[str, ...]]:
        value = _checked(cls, super().compute_value(raw_value, address), address)
        return None if value is None else parse_exclude_files(value)


class RepositoryField(StringField):
    alias = "repository"
    help = help_text(
        """
        The repository of the image's names, without registry and tag. Default: `[docker].default_repository`, which is
        `{name}`. A registry in `[docker].registries` can set its own `repository` instead.

        `docker_image` has the same placeholders. `{name}` is the target's name, or the application's name if
        `slim_ray_images` generated the target; `{directory}`, `{parent_directory}` and `{full_directory}` are folders
        of the BUILD file. These four are in lower case. `{default_repository}` is `[docker].default_repository`, and
        `{target_repository}` is this field, for values that override them. `{pants.hash}` is the SHA-256 of the image's
        manifest.

        For example, `repository="{parent_directory}/{directory}"`.
        """
    )


class RegistriesField(StringSequenceField):
    alias = "registries"
    default = (ALL_DEFAULT_REGISTRIES,)
    help = help_text(
        """
        The registries of the image's names: `@` and the alias of one of `[docker].registries`, or an address, such as
        `registry.example.com:5000`.

        Default: the registries in `[docker].registries` with `default = true`. If there are none, the names have no
        registry.
        """
    )


class ImageTagsField(StringSequenceField):
    alias = "image_tags"
    default = ("latest",)
    help = help_text(
        """
        The tags of the image's names, in each registry. A registry in `[docker].registries` can add
        `extra_image_tags`.

        The placeholder `{pants.hash}` is the SHA-256 of the image's manifest: it changes exactly when the image
        changes.
        For example, `image_tags=["1.2", "build-{pants.hash}"]`.
        """
    )


class OutputsField(_CheckedStrings):
    alias = "outputs"
    check = staticmethod(parse_outputs)
    help = help_text(
        """
        The outputs that `pants package` writes in addition to `image.json`:

        - `layout`: `oci/`, a complete OCI image layout.

        - `sparse-layout`: `oci/` without the base's layers, which are the larger part of many images. It excludes
        `layout`.

        - `archive`: `image.tar`, one file for `docker load`, `podman load`, `kind load image-archive` and skopeo.

        - `pex`: `requirements.pex`, the distributions as a PEX for a Python of the base's version.

        With `[]`, `pants package` writes only `image.json`. Default: `[slim-ray].outputs`, which is `["layout"]`.
        `pants run` needs no output.
        """
    )


class SkipCheckField(BoolField):
    alias = "skip_check"
    default = False
    value: bool
    help = help_text(
        """
        Whether `pants check` skips this image.
        """
    )


class SmokeTestField(TriBoolField):
    alias = "smoke_test"
    help = help_text(
        """
        Whether `pants test` runs the image in Docker, as KubeRay runs it. The test passes if the image becomes ready
        according to the operator's own probes, deploys its Serve applications, answers `smoke_requests`, exports Ray's
        metrics and runs a job.

        Default: `[slim-ray].smoke_test`, which is false. If no Docker answers, the test is skipped.
        """
    )


class SmokeRequestsField(SequenceField[SmokeRequest]):
    alias = "smoke_requests"
    check = staticmethod(parse_smoke_requests)
    expected_element_type: ClassVar[Any] = (str, SmokeRequest, WrongSmokeRequest)
    expected_type_description = "a list of paths and `smoke_request(...)`"
    help = help_text(
        f"""
        The HTTP requests that a smoke test sends to the image's applications, in order. A path, such as `"/health"`,
        is a GET whose answer must have a status below 400. `smoke_request` has a `path`, a `method`, and either `json`,
        a value to send as JSON, or `body`, a text whose default `media_type` is "text/plain; charset=utf-8". The answer
        must have the `status` and contain the text `contains`, if these are set.

        For example, `smoke_requests=["/health", smoke_request(path="/missing", status=404), {EXAMPLE}]`.

        Default: a GET of each application's route prefix.
        """
    )

    @classmethod
    def compute_value(
        cls, raw_value: Optional[Iterable[Union[str, SmokeRequest]]], address: Address
    ) -> Optional[Tuple[SmokeRequest, ...]]:
        values = _checked(cls, super().compute_value(raw_value, address), address)
        return None if values is None else parse_smoke_requests(values)


class SmokeTestTimeoutField(IntField):
    alias = "smoke_test_timeout"
    default = 300
    value: int
    valid_numbers = ValidNumbers.positive_only
    help = help_text(
        """
        The time limit of a smoke test, in seconds from the start of its container.
        """
    )


# The fields of `slim_ray_image`, without the ones that select its applications or its entry point.
_COMMON_FIELDS = (
    SlimRayImageDependencies,
    RayExtrasField,
    PythonResolveField,
    BaseImageField,
    PlatformsField,
    EnvField,
    PortsField,
    LabelsField,
    UserField,
    WorkdirField,
    EntrypointField,
    CmdField,
    LayerBudgetField,
    BytecodeField,
    PruneField,
    ExcludeFilesField,
    RepositoryField,
    RegistriesField,
    ImageTagsField,
    OutputsField,
    SkipCheckField,
    OutputPathField,
    SmokeTestField,
    SmokeRequestsField,
    SmokeTestTimeoutField,
    EnvironmentField,
)


class SlimRayImageTarget(Target):
    alias = "slim_ray_image"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        ServeAppField,
        ServeConfigField,
        ServeApplicationField,
        EntryPointField,
        *_COMMON_FIELDS,
    )
    help = help_text(
        """
        One Ray service as a minimal OCI image: the base image, and only the distributions and the first-party files
        that the service's code needs.

        `pants package` writes an OCI image layout (`oci/`) and `image.json`, which lists the content of the image with
        reasons; `outputs` selects other forms. This needs no Dockerfile and no Docker. The same commit on the same base
        image gives the same image digest on every machine, unless a distribution is built on the machine
        (`[slim-ray].host_built_distributions`).

        `pants run` loads the image into Docker and runs it. `pants check` proves, without Docker, that the image
        contains everything that it needs. If `smoke_test` is set, `pants test` tries the image in Docker.

        For example:

            slim_ray_image(
                name="image",
                serve_app="services.echo.app:app",
            )
        """
    )

    def validate(self) -> None:
        fields = (ServeAppField, ServeConfigField, EntryPointField)
        entries = [(field.alias, self[field].value) for field in fields if self[field].value]
        if len(entries) > 1:
            what = " and ".join(f"`{alias}` ({value!r})" for alias, value in entries)
            few = "both " if len(entries) == 2 else ""
            raise InvalidTargetException(
                f"The target {self.address} has {few}{what}, but an image has one default command.\n\n"
                f"To fix, remove {'one' if len(entries) == 2 else 'all but one'} of them; to put other drivers into "
                "the image, list them in `dependencies`."
            )
        application = self[ServeApplicationField].value
        if application and not self[ServeConfigField].value:
            raise InvalidTargetException(
                f"The target {self.address} has `serve_application` ({application!r}), but no `serve_config`.\n\n"
                "To fix, set `serve_config`, or remove `serve_application`."
            )
        if not entries and not self[SlimRayImageDependencies].value:
            raise InvalidTargetException(
                f"The target {self.address} has nothing to put into an image.\n\nTo fix, set `serve_app` (such as "
                "'services.echo.app:app'), `serve_config` (such as 'serve.yaml'), `entry_point` (such as 'driver.py') "
                "or `dependencies`."
            )


class SlimRayImagesConfigField(ServeConfigField):
    required = True
    help = help_text(
        """
        The Ray Serve applications to make images of, as a file in the BUILD file's folder or below: a Serve config, or
        a KubeRay manifest with one RayService.
        """
    )


class SlimRayImagesOverridesField(OverridesField):
    help = help_text(
        """
        A mapping from an application's name to the fields of its image. For example,
        `overrides={"fruit": {"env": {"LOG_LEVEL": "debug"}}}`.
        """
    )


class SlimRayImagesTarget(TargetGenerator):
    alias = "slim_ray_images"
    generated_target_cls = SlimRayImageTarget
    core_fields = (*COMMON_TARGET_FIELDS, SlimRayImagesConfigField, SlimRayImagesOverridesField)
    copied_fields = COMMON_TARGET_FIELDS
    moved_fields = _COMMON_FIELDS
    help = help_text(
        """
        A `slim_ray_image` for each application of a Serve config. It has the application's name and serves this
        application only, at the application's own route prefix.

        For example, if the file has the applications `fruit` and `prices`,
        `pants package src/services/shop:apart#fruit` builds the image of `fruit`, and
        `pants package src/services/shop:apart` builds both:

            slim_ray_images(
                name="apart",
                serve_config="rayservice.yaml",
            )
        """
    )
