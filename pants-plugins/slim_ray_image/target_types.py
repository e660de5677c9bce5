"""The `slim_ray_image` target and its fields. A field that Pants' `docker_image` has too has the same name."""

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
from slim_ray_image.core.layers.prune_rules import RULES
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
    """Return `value` after the field's `check`, a function of core; raise its error with the field and the address."""
    if value is not None:
        try:
            field.check(value)
        except InvalidValueError as error:
            place = f"The `{field.alias}` field in target {address}"
            raise InvalidFieldException(str(error.of(place))) from error
    return value


# Two classes, since Pants takes the type that its help shows from the annotation.
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

        The module's owner, and everything that it imports, goes into the image; the image's default command is
        `serve run` of the path, listening on all interfaces on port 8000. The module must
        define the attribute, and not as a class or a deployment that has still to be bound; that is checked without
        importing it.

        For example, `serve_app="services.echo.app:app"`. At most one of `serve_app`, `serve_config` and `entry_point`.
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
        The Ray Serve applications to serve, as a file beside the BUILD file or below it: a Serve config, as
        `serve build` writes it, or a KubeRay manifest with one RayService (`spec.serveConfigV2`) or RayJob
        (`spec.entrypoint`).

        The owner of each application's `import_path`, and everything that they import, goes into the image, and so
        does the config, as `serve_config.yaml` in its working directory; the image's default command is `serve run` of
        it. Of a RayJob it is the job's command.

        For example, `serve_config="rayservice.yaml"`. At most one of `serve_app`, `serve_config` and `entry_point`.
        """
    )


class ServeApplicationField(StringField):
    alias = "serve_application"
    help = help_text(
        """
        The name of the one application of `serve_config` to serve; the others are left out. Default: all of them.
        """
    )


class EntryPointField(_CheckedString):
    alias = "entry_point"
    check = staticmethod(parse_entry_point)
    help = help_text(
        """
        A driver or a job to run: a module, or a `.py` file beside the BUILD file, with its arguments.

        Its owner, and everything that it imports, goes into the image; the image's default command is
        `python -m` of the module, with the arguments.

        For example, `entry_point="driver.py --rounds 3"` or `entry_point="jobs.nightly"`. At most one of `serve_app`,
        `serve_config` and `entry_point`; with none, `dependencies` alone say what goes in.
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
        The extras of Ray to install, as a list, in place of those that the requirement names. Or `"{INFER}"`, the
        default: those that the code needs, by what it imports of `ray`.

        By imports, `ray.serve` brings `serve`, as do `serve_app` and a `serve_config` that serves; `ray.data` and
        `ray.air` bring `data`; `ray.train`, `ray.tune` and `ray.rllib` bring their own and `data`; `ray.llm`,
        `ray.serve.llm` and `ray.data.llm` bring `llm`; an address of `ray://` brings `client`. Each image has
        `default`, of which `serve` has all: the head of a Ray cluster and its health checks need it. Extras that
        imports do not tell, as `observability`, stay as required.

        `ray_extras` in image.json says what was kept, added and dropped, and why. For example,
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
        `oci:PATH[:TAG]`, with PATH absolute or relative to the build root. It must hold glibc and the CPython of the
        resolve.

        Default: `[slim-ray].default_base_image`, which is `python:3.10-slim`. Name the digest
        (`python:3.10-slim@sha256:...`) for an image that only changes when the repository does.
        """
    )


class PlatformsField(_CheckedStrings):
    alias = "platforms"
    check = staticmethod(check_platforms)
    default = ("linux/amd64",)
    help = help_text(
        """
        The OCI platforms to build for. One for now: `linux/amd64`.
        """
    )


class EnvField(DictStringToStringField):
    alias = "env"
    check = staticmethod(check_env)
    help = help_text(
        """
        Environment variables of the image, on top of the base's. For example, `env={"LOG_LEVEL": "info"}`.
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
        The TCP ports that the image listens on: recorded in the image config, and mapped by `pants run`.

        Default: `[8000]`, Ray Serve's HTTP port, with `serve_app`; those of the config with `serve_config`; else
        none.
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
        Labels of the image config, on top of the base's. For example,
        `labels={"org.opencontainers.image.source": "https://git.example.com/monorepo"}`.

        Names that start with `slim-ray-image.` are the plugin's own, for its containers: none is taken here, and those
        of the base are left out.
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
        The user that the image runs as, as the image config has it: `uid`, `uid:gid` or a name that the base knows.

        The default is numeric, so that Kubernetes' `runAsNonRoot` can tell that it is not root; its uid and gid are
        those of Ray's own images. A numeric uid that the base does not know gets the name `ray` and the home
        `/home/ray`, writable.
        """
    )


class WorkdirField(_CheckedString):
    alias = "workdir"
    check = staticmethod(check_workdir)
    default = "/app"
    value: str
    help = help_text(
        """
        The working directory, which holds the first-party files, source roots stripped, and is on `PYTHONPATH`.
        """
    )


class EntrypointField(StringSequenceField):
    alias = "entrypoint"
    help = help_text(
        """
        The image config's `Entrypoint`. Default: the base's, which for `python:3.10-slim` is none. KubeRay starts Ray
        by a command of its own, which an entrypoint would swallow.
        """
    )


class CmdField(StringSequenceField):
    alias = "cmd"
    help = help_text(
        """
        The image config's `Cmd`. Default: what runs `serve_app`, `serve_config` or `entry_point`; with none, the
        base's.
        """
    )


class LayerBudgetField(IntField):
    alias = "layer_budget"
    check = staticmethod(check_layer_budget)
    default = 16
    value: int
    help = help_text(
        f"""
        The most layers that the image may add to its base, from {SMALLEST_LAYER_BUDGET} to {LARGEST_LAYER_BUDGET}.

        Ray, each large distribution (5 MB unpacked or more, before pruning), and each part of Ray that only some
        services need, has a layer of its own, which all services share, as long as the budget lasts, largest first; the
        others share one layer; the first-party files are the last. Lowest is one for what the base lacks, the same in
        every image (see `bytecode`). First-party files of 1 MB or more that are no Python sources have a layer apart
        from the others, where the budget is more than {SMALLEST_LAYER_BUDGET}.
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
        Whether to put the bytecode of every module into the image, as unchecked-hash pycs (PEP 552), and that of the
        standard library where the base has none. A Ray service starts in less than half the time with it; without it,
        the image is smaller by about a tenth.
        """
    )


def _rules_help(is_default: bool) -> str:
    return "\n\n".join(
        f"- `{rule.name}`: {rule.goes}. Needed by {rule.needed_by}."
        for rule in RULES
        if rule.is_default == is_default
    )


class PruneField(_CheckedStrings):
    alias = "prune"
    check = staticmethod(parse_pruning)
    help = help_text(
        f"""
        The rules by which files that a service does not need are left out of its distributions: `default` stands for
        those that are on by default, `all` for every one, `!` before a name takes one away, and `[]` prunes nothing.
        `distribution:NAME` leaves out a distribution as a whole, which others require and no first-party code imports.
        Whether the others work without it is not checked; `pip check` would name it.

        Default: `[slim-ray].prune`, which is `["default"]`. For example, `prune=["default", "dashboard-ui", "!tests"]`.

        On by default:

        {_rules_help(True)}

        Others:

        {_rules_help(False)}

        `METADATA`, entry points and licences stay, and `RECORD` lists what is there. `image.json` says what went.
        """
    )


class ExcludeFilesField(StringSequenceField):
    alias = "exclude_files"
    check = staticmethod(parse_exclude_files)
    help = help_text(
        """
        Files that the image does not need at run time: paths in the image, absolute or relative to site-packages, with
        `*` for any characters but `/`, and `**` for any folders. What is below a folder that matches goes too. They are
        left out of the image's own layers; the base's stay as they are. A layer that loses files this way is no longer
        the one that other images have.

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
        `{name}`. A registry of `[docker].registries` may have a `repository` of its own instead.

        The placeholders are those of `docker_image`: `{name}` is the target's name, the application's for a target that
        `slim_ray_images` generates; `{directory}`,
        `{parent_directory}` and `{full_directory}` are of the BUILD file, all these with capitals lowered;
        `{default_repository}` and `{target_repository}` (this field) are for the values that replace them;
        `{pants.hash}` is the SHA-256 of the image's manifest.

        For example, `repository="{parent_directory}/{directory}"`.
        """
    )


class RegistriesField(StringSequenceField):
    alias = "registries"
    default = (ALL_DEFAULT_REGISTRIES,)
    help = help_text(
        """
        The registries of the image's names: `@` and the alias of one of `[docker].registries`, or an address, as
        `registry.example.com:5000`.

        Default: those of `[docker].registries` that have `default = true`. With none, the names have no registry.
        """
    )


class ImageTagsField(StringSequenceField):
    alias = "image_tags"
    default = ("latest",)
    help = help_text(
        """
        The tags of the image's names, in each registry. A registry of `[docker].registries` may have
        `extra_image_tags`.

        The placeholder `{pants.hash}` is the SHA-256 of the image's manifest: it changes exactly when the image does.
        For example, `image_tags=["1.2", "build-{pants.hash}"]`.
        """
    )


class OutputsField(_CheckedStrings):
    alias = "outputs"
    check = staticmethod(parse_outputs)
    help = help_text(
        """
        What `pants package` writes besides `image.json`: `layout`, a complete OCI image layout in `oci/`;
        `sparse-layout`, the same without the base's layers, which are the larger part of many images; `archive`,
        `image.tar`, one file for `docker load`, `podman load`, `kind load image-archive` and skopeo; `pex`,
        `requirements.pex`, the distributions as a PEX, which a Python of the base's version runs. With `[]`,
        `image.json` alone. The two layouts exclude each other.

        Default: `[slim-ray].outputs`, which is `["layout"]`. `pants run` needs none of them.
        """
    )


class SkipCheckField(BoolField):
    alias = "skip_check"
    default = False
    value: bool
    help = help_text(
        """
        Whether `pants check` leaves this image out.
        """
    )


class SmokeTestField(TriBoolField):
    alias = "smoke_test"
    help = help_text(
        """
        Whether `pants test` runs the image in Docker, as KubeRay runs it, and checks that it does what a cluster needs
        of it: it becomes ready by the operator's own probes, deploys its Serve applications, answers
        `smoke_requests`, exports Ray's metrics and runs a job.

        Default: `[slim-ray].smoke_test`, which is false. Where no Docker answers, the test is skipped.
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
        a value that is sent as JSON, or `body`, a text whose `media_type` is "text/plain; charset=utf-8" unless it is
        named; then `status`, which the answer must have, and `contains`, a text that it must contain.

        For example, `smoke_requests=["/health", smoke_request(path="/missing", status=404), {EXAMPLE}]`.

        Default: GET of the route prefix of each application.
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
        The seconds after which a smoke test has failed, counted from the start of its container.
        """
    )


# Those of `slim_ray_image` that do not say what it starts with.
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
        One Ray service as a minimal OCI image: the base image, the distributions that the service's code needs and no
        others, and the first-party files it needs and no others.

        `pants package` writes an OCI image layout (`oci/`) and a description of what is in it and why (`image.json`);
        `outputs` selects other forms.
        No Dockerfile and no Docker is needed, and the same commit on the same base image gives the same image digest on
        every machine, unless `[slim-ray].host_built_distributions` has something built there.
        `pants run` loads it into Docker and runs it. `pants check` proves, without Docker, that it holds what it needs.
        `pants test` tries it in Docker, where `smoke_test` says so.

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
                f"To fix, remove {'one' if len(entries) == 2 else 'all but one'} of them; `dependencies` brings other "
                "drivers into the image."
            )
        application = self[ServeApplicationField].value
        if application and not self[ServeConfigField].value:
            raise InvalidTargetException(
                f"The target {self.address} has `serve_application` ({application!r}), but no `serve_config` that "
                "it is of.\n\nTo fix, set `serve_config`, or remove `serve_application`."
            )
        if not entries and not self[SlimRayImageDependencies].value:
            raise InvalidTargetException(
                f"The target {self.address} has nothing to put into an image.\n\nTo fix, set `serve_app` (as "
                "'services.echo.app:app'), `serve_config` (as 'serve.yaml'), `entry_point` (as 'driver.py') or "
                "`dependencies`."
            )


class SlimRayImagesConfigField(ServeConfigField):
    required = True
    help = help_text(
        """
        The Ray Serve applications to make images of, as a file beside the BUILD file or below it: a Serve config, or a
        KubeRay manifest with one RayService.
        """
    )


class SlimRayImagesOverridesField(OverridesField):
    help = help_text(
        """
        Fields of single images, by the names of their applications. For example,
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
        A `slim_ray_image` for each application of a Serve config, named as the application is. It serves that one
        alone, at its own route prefix.

        For example, with applications `fruit` and `prices` in the file, `pants package src/services/shop:apart#fruit`
        makes the image of one of them and `pants package src/services/shop:apart` both:

            slim_ray_images(
                name="apart",
                serve_config="rayservice.yaml",
            )
        """
    )
