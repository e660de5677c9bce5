"""The values that a BUILD file may set on a `slim_ray_image`, and the whole text of each error."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Golden
from pants.engine.target import InvalidTargetException
from pants.testutil.rule_runner import RuleRunner

from rules.rule_runner import IMAGE, target_error, write
from slim_ray_image.core.serve.import_paths import EntryPoint, ImportPath
from slim_ray_image.target_types import (
    BaseImageField,
    BytecodeField,
    CmdField,
    EntryPointField,
    EntrypointField,
    EnvField,
    ExcludeFilesField,
    LayerBudgetField,
    OutputsField,
    PlatformsField,
    PortsField,
    PruneField,
    ServeAppField,
    SlimRayImageDependencies,
    SlimRayImageTarget,
    UserField,
    WorkdirField,
)

ORIGIN = "src/app/BUILD:1"


def make_target(**fields: Any) -> SlimRayImageTarget:
    return SlimRayImageTarget(fields, IMAGE, description_of_origin=ORIGIN)


def make_service(**fields: Any) -> SlimRayImageTarget:
    return make_target(serve_app="app.main:app", **fields)


def error_of(**fields: Any) -> str:
    """Return the whole text of the error, without the target's place, which Pants prints before it."""
    with pytest.raises(InvalidTargetException) as caught:
        make_target(**fields)
    text = str(caught.value)
    assert text.startswith(f"{ORIGIN}: ")
    return text[len(f"{ORIGIN}: ") :]


def field_error(**fields: Any) -> str:
    return error_of(serve_app="app.main:app", **fields)


def test_defaults_are_those_of_a_ray_service() -> None:
    """A target with only `serve_app` has a value for everything that an image must have."""
    target = make_service()
    assert target[PlatformsField].value == ("linux/amd64",)
    assert target[UserField].value == "1000:100"
    assert target[WorkdirField].value == "/app"
    assert target[LayerBudgetField].value == 16
    assert target[BytecodeField].value is True
    for unset in (BaseImageField, EnvField, PortsField, EntrypointField, CmdField):
        assert target[unset].value is None


def test_serve_app_is_a_module_and_an_attribute() -> None:
    """`serve_app` is parsed into both parts of the import path."""
    field = make_target(serve_app="services.echo.app:app")[ServeAppField]
    assert field.import_path == ImportPath("services.echo.app", "app")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jobs.nightly", EntryPoint("jobs.nightly", None, ())),
        ("driver.py", EntryPoint(None, "driver.py", ())),
        ("jobs/driver.py", EntryPoint(None, "jobs/driver.py", ())),
        (
            "driver.py --rounds 3 'two words'",
            EntryPoint(None, "driver.py", ("--rounds", "3", "two words")),
        ),
    ],
    ids=["module", "file", "file-below", "arguments"],
)
def test_entry_point_is_a_module_or_a_file_with_arguments(text: str, expected: EntryPoint) -> None:
    """`entry_point` is split like a shell command; its first word is a module or a file beside the BUILD file."""
    assert make_target(entry_point=text)[EntryPointField].entry_point == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "services.echo.app",
        "services.echo.app:",
        ":app",
        "services/echo/app.py:app",
        "services.echo.app:app.handle",
        "services.echo.app:app:app",
        "services..app:app",
        "services.class.app:app",
        ".app:app",
    ],
    ids=repr,
)
def test_malformed_serve_app_is_refused(text: str) -> None:
    """The message has the expected form, the received text and an example."""
    assert error_of(serve_app=text) == (
        "The `serve_app` field in target src/app:image must be an import path `module.path:attribute`, "
        f"but was {text!r}.\n\n"
        "To fix, name the module and the variable of the bound application, such as 'services.echo.app:app'."
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "/srv/driver.py",
        "../driver.py",
        "jobs/../driver.py",
        "jobs/nightly",
        "app.main:app",
        "jobs.1st",
        "-m jobs.nightly",
    ],
    ids=repr,
)
def test_malformed_entry_point_is_refused(text: str) -> None:
    """An absolute path, a path with '..', and a text that is neither module nor `.py` file are shown as received."""
    assert error_of(entry_point=text) == (
        f"The `entry_point` field in target src/app:image must be a module or a `.py` file, optionally followed by arguments, but was {text!r}."
        "\n\nTo fix, name a module or a file beside the BUILD file, then its arguments, such as 'driver.py --rounds 3'."
    )


def test_entry_point_with_unbalanced_quotes_is_refused() -> None:
    """The message describes the fault in the quotes."""
    assert error_of(entry_point="driver.py --name 'two words") == (
        "The `entry_point` field in target src/app:image must be a module or a `.py` file, optionally followed by arguments, but was "
        '"driver.py --name \'two words" (No closing quotation).\n\n'
        "To fix, name a module or a file beside the BUILD file, then its arguments, such as 'driver.py --rounds 3'."
    )


def test_serve_app_and_entry_point_together_are_refused() -> None:
    """An image has one default command, so the message names both and asks for one."""
    assert error_of(serve_app="app.main:app", entry_point="driver.py") == (
        "The target src/app:image has both `serve_app` ('app.main:app') and `entry_point` ('driver.py'), but an image "
        "has one default command.\n\n"
        "To fix, remove one of them; to put other drivers into the image, list them in `dependencies`."
    )


def test_serve_config_beside_others_is_refused() -> None:
    """The message names each of two or three, and asks for one."""
    assert error_of(serve_config="serve.yaml", entry_point="driver.py") == (
        "The target src/app:image has both `serve_config` ('serve.yaml') and `entry_point` ('driver.py'), but an image "
        "has one default command.\n\n"
        "To fix, remove one of them; to put other drivers into the image, list them in `dependencies`."
    )
    three = error_of(serve_app="a:b", serve_config="serve.yaml", entry_point="driver.py")
    assert three == (
        "The target src/app:image has `serve_app` ('a:b') and `serve_config` ('serve.yaml') and `entry_point` "
        "('driver.py'), but an image has one default command.\n\n"
        "To fix, remove all but one of them; to put other drivers into the image, list them in `dependencies`."
    )


def test_serve_application_wants_a_config() -> None:
    """`serve_application` requires `serve_config`, which has the applications."""
    assert error_of(serve_app="a:b", serve_application="fruit") == (
        "The target src/app:image has `serve_application` ('fruit'), but no `serve_config`.\n\n"
        "To fix, set `serve_config`, or remove `serve_application`."
    )


@pytest.mark.parametrize("fields", [{}, {"dependencies": []}], ids=["none", "empty"])
def test_target_with_nothing_to_put_in_is_refused(fields: dict[str, Any]) -> None:
    """Without `serve_app`, `serve_config`, `entry_point` and `dependencies` the message names all four."""
    assert error_of(**fields) == (
        "The target src/app:image has nothing to put into an image.\n\n"
        "To fix, set `serve_app` (such as 'services.echo.app:app'), `serve_config` (such as 'serve.yaml'), "
        "`entry_point` (such as 'driver.py') or `dependencies`."
    )


def test_dependencies_alone_are_enough() -> None:
    """An image may contain code without a command to run."""
    assert make_target(dependencies=[":lib"])[SlimRayImageDependencies].value == (":lib",)


@pytest.mark.parametrize("platform", ["linux/arm64", "linux", "windows/amd64", ""], ids=repr)
def test_other_platform_is_refused(platform: str) -> None:
    """The message names the only supported platform."""
    assert field_error(platforms=[platform]) == (
        f"The `platforms` field in target src/app:image must be one of 'linux/amd64', but was {platform!r}.\n\n"
        "To fix, use 'linux/amd64', the one platform that this version builds for."
    )


@pytest.mark.parametrize("platforms", [[], ["linux/amd64", "linux/arm64"]], ids=["none", "two"])
def test_platforms_names_exactly_one(platforms: list[str]) -> None:
    """No platform and two platforms are rejected."""
    assert field_error(platforms=platforms) == (
        f"The `platforms` field in target src/app:image must name exactly one platform, but was {platforms!r}.\n\n"
        "To fix, use ['linux/amd64']."
    )


def test_ports_out_of_range_are_refused_at_once() -> None:
    """Every wrong port is named, in order."""
    assert field_error(ports=[70000, 8000, 0, -1]) == (
        "The `ports` field in target src/app:image must contain numbers from 1 to 65535, but has -1, 0, 70000.\n\n"
        "To fix, correct the port numbers."
    )


def test_boolean_is_no_port() -> None:
    """A boolean is a number in Python, but not a port."""
    assert field_error(ports=[True]) == (
        "The `ports` field in target src/app:image must contain numbers from 1 to 65535, but has True.\n\n"
        "To fix, correct the port numbers."
    )


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("serve_app", 1, "a string"),
        ("entry_point", ["driver.py"], "a string"),
        ("base_image", {}, "a string"),
        ("user", 1000, "a string"),
        ("workdir", True, "a string"),
        ("repository", 1, "a string"),
        ("layer_budget", "16", "an integer"),
        ("bytecode", "yes", "a boolean"),
        ("platforms", "linux/amd64", "an iterable of strings (e.g. a list of strings)"),
        ("entrypoint", "serve run", "an iterable of strings (e.g. a list of strings)"),
        ("cmd", [1], "an iterable of strings (e.g. a list of strings)"),
        ("registries", "@prod", "an iterable of strings (e.g. a list of strings)"),
        ("image_tags", "latest", "an iterable of strings (e.g. a list of strings)"),
        ("outputs", "layout", "an iterable of strings (e.g. a list of strings)"),
        ("env", ["A=1"], "a dictionary of string -> string"),
        ("labels", {"a": 1}, "a dictionary of string -> string"),
    ],
)
def test_value_of_another_type_is_refused(field: str, value: Any, wanted: str) -> None:
    """Pants' own check names the type of the field and the received value."""
    fields = {field: value} if field == "serve_app" else {"serve_app": "a:b", field: value}
    assert error_of(**fields) == (
        f"The {field!r} field in target src/app:image must be {wanted}, but was `{value!r}` with type "
        f"`{type(value).__name__}`."
    )


@pytest.mark.parametrize("ports", [["8000"], 8000, "8000"], ids=repr)
def test_ports_are_numbers(ports: Any) -> None:
    """Pants' own check rejects a port as text, with the plugin's description of the expected type."""
    assert field_error(ports=ports) == (
        f"The 'ports' field in target src/app:image must be a list of port numbers, but was `{ports!r}` with type "
        f"`{type(ports).__name__}`."
    )


@pytest.mark.parametrize("budget", [-1, 0, 3, 101, True], ids=repr)
def test_layer_budget_out_of_range_is_refused(budget: int) -> None:
    """The message names the range."""
    assert field_error(layer_budget=budget) == (
        f"The `layer_budget` field in target src/app:image must be a number from 4 to 100, but was {budget!r}.\n\n"
        "To fix, leave it out or use a number in that range."
    )


@pytest.mark.parametrize("budget", [4, 100])
def test_layer_budget_may_be_each_end_of_its_range(budget: int) -> None:
    """Both ends of the range are accepted."""
    assert make_service(layer_budget=budget)[LayerBudgetField].value == budget


@pytest.mark.parametrize(
    "workdir", ["", "app", "/", "/app/", "/app//x", "/app/..", "/./app", "/a:b", "/a\nb"], ids=repr
)
def test_workdir_that_is_not_a_plain_absolute_path_is_refused(workdir: str) -> None:
    """A relative path, the root, and a path with forbidden characters are shown as received."""
    assert field_error(workdir=workdir) == (
        "The `workdir` field in target src/app:image must be an absolute path below /, without '.', '..', ':' or "
        "control characters, "
        f"but was {workdir!r}.\n\nTo fix, use a path like '/app'."
    )


@pytest.mark.parametrize("workdir", ["/app", "/srv/app", "/opt/my app", "/a..b"], ids=repr)
def test_workdir_may_be_any_plain_absolute_path(workdir: str) -> None:
    """Depth, spaces and dots inside names do not matter."""
    assert make_service(workdir=workdir)[WorkdirField].value == workdir


@pytest.mark.parametrize("user", ["", ":", "1000:", ":100", "1000:100:1", "a b", "a/b"], ids=repr)
def test_malformed_user_is_refused(user: str) -> None:
    """The message has both accepted forms."""
    assert field_error(user=user) == (
        f"The `user` field in target src/app:image must be `user` or `user:group`, but was {user!r}.\n\n"
        "To fix, use numbers, such as '1000:100', or names of users and groups in the base image."
    )


@pytest.mark.parametrize("user", ["0", "1000", "1000:100", "nobody", "www-data:www-data", "_apt"])
def test_user_may_be_numbers_or_names(user: str) -> None:
    """Both forms are accepted unchanged."""
    assert make_service(user=user)[UserField].value == user


@pytest.mark.parametrize(
    "reference",
    ["", "Python:3.10", "python:", "python@sha256:12", "python:3.10 ", "oci:", "oci::tag"],
    ids=repr,
)
def test_malformed_base_image_is_refused(reference: str) -> None:
    """The message has an example of each kind of reference."""
    assert field_error(base_image=reference) == (
        "The `base_image` field in target src/app:image must be an image reference or a local OCI image layout, "
        f"but was {reference!r}.\n\n"
        "To fix, do one of the following:\n"
        "  * name an image in a registry, such as 'python:3.10-slim' or "
        "'registry.example.com/base/python@sha256:<64 hex digits>'\n"
        "  * name a local OCI image layout by its folder and tag, such as 'oci:3rdparty/oci/base:3.10-slim'"
    )


@pytest.mark.parametrize(
    "reference",
    [
        "python",
        "python:3.10-slim",
        "registry.example.com:5000/base/python:3.10",
        f"python:3.10-slim@sha256:{'0' * 64}",
        "oci:3rdparty/base",
        "oci:/srv/base:3.10",
    ],
)
def test_base_image_may_be_a_reference_or_a_layout(reference: str) -> None:
    """References by tag and by digest, and layouts with and without a tag, are accepted unchanged."""
    assert make_service(base_image=reference)[BaseImageField].value == reference


def test_label_of_the_plugin_s_containers_is_refused() -> None:
    """A label of the image is a label of each of its containers, so the plugin's own names are reserved."""
    assert field_error(labels={"slim-ray-image.smoke-test": "1", "a": "2"}) == (
        "The `labels` field in target src/app:image must not have names that start with 'slim-ray-image.', which the "
        "plugin sets on its containers, but has 'slim-ray-image.smoke-test'.\n\n"
        "To fix, start the names with a domain of your own, such as 'com.example.team'."
    )


def test_env_with_a_name_that_no_variable_has_is_refused() -> None:
    """An empty name and a name with '=' are rejected, because an image config cannot have them."""
    assert field_error(env={"B=C": "1", "": "2", "GOOD": "3"}) == (
        "The `env` field in target src/app:image must have names without '=' that are not empty, but has '', 'B=C'."
        "\n\nTo fix, correct the names of the variables."
    )


@pytest.mark.parametrize(
    "outputs", [["tar"], ["layout", "sparse-layout"]], ids=["unknown", "both-layouts"]
)
def test_outputs_that_cannot_be_written_are_refused(
    outputs: list[str], golden: Golden, request: pytest.FixtureRequest
) -> None:
    """The message lists the valid names, or the two that exclude each other."""
    name = request.node.callspec.id
    golden.check(f"errors/image/field-outputs-{name}.txt", field_error(outputs=outputs))


def test_no_outputs_is_not_the_default() -> None:
    """An empty list stays empty and differs from an unset field, for which the option decides."""
    assert make_service(outputs=[])[OutputsField].value == ()
    assert make_service()[OutputsField].value is None


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"prune": ["defaults"]}, "The `prune` field in target src/app:image must hold 'all', "),
        ({"prune": ["!tests"]}, "The `prune` field in target src/app:image removes rules"),
        (
            {"exclude_files": ["../a"]},
            "The `exclude_files` field in target src/app:image must hold paths, ",
        ),
    ],
    ids=["unknown rule", "only away", "path outside"],
)
def test_what_cannot_be_pruned_is_refused(fields: dict[str, Any], start: str) -> None:
    """The message names the field and the target; the tests of `core` have the whole messages."""
    assert field_error(**fields).startswith(start)


def test_pruning_nothing_is_not_the_default() -> None:
    """An empty list stays empty and differs from an unset field, for which the option decides."""
    assert make_service(prune=[])[PruneField].value == ()
    assert make_service()[PruneField].value is None
    assert make_service(exclude_files=["b", "a"])[ExcludeFilesField].value == ("a", "b")


def test_empty_command_is_not_the_default() -> None:
    """An empty `cmd` or `entrypoint` stays empty, so that an image can have none."""
    target = make_service(cmd=[], entrypoint=[])
    assert (target[CmdField].value, target[EntrypointField].value) == ((), ())


def test_error_names_the_line_of_the_build_file(rule_runner: RuleRunner) -> None:
    """A user sees the same text after the place in the BUILD file."""
    write(rule_runner, {"app/BUILD": "\nslim_ray_image(name='image', serve_app='app.main')\n"})
    assert target_error(rule_runner, IMAGE) == (
        "src/app/BUILD:2: The `serve_app` field in target src/app:image must be an import path "
        "`module.path:attribute`, but was 'app.main'.\n\n"
        "To fix, name the module and the variable of the bound application, such as 'services.echo.app:app'."
    )


def test_target_that_contradicts_itself_names_the_line_of_the_build_file(
    rule_runner: RuleRunner,
) -> None:
    """An error of the whole target has its place in the BUILD file too."""
    write(rule_runner, {"app/BUILD": "slim_ray_image(name='image')\n"})
    assert target_error(rule_runner, IMAGE) == (
        "src/app/BUILD:1: The target src/app:image has nothing to put into an image.\n\n"
        "To fix, set `serve_app` (such as 'services.echo.app:app'), `serve_config` (such as 'serve.yaml'), "
        "`entry_point` (such as 'driver.py') or `dependencies`."
    )
