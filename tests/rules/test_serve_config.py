"""Stage 1: the modules that the file of `serve_config` adds to an image, and the targets of `slim_ray_images`."""

from __future__ import annotations

import logging
from typing import Mapping, Optional

import pytest
from conftest import Golden
from pants.engine.addresses import Address
from pants.engine.target import InvalidTargetException, WrappedTarget, WrappedTargetRequest
from pants.testutil.rule_runner import RuleRunner
from pants.util.frozendict import FrozenDict

from rules.rule_runner import (
    IMAGE,
    closure_contents,
    closure_error,
    direct_dependencies,
    error_text,
    find_closure,
    find_owners,
    write,
)
from slim_ray_image.core.layers.sources_layer import AttributeCheck
from slim_ray_image.core.serve.import_paths import EntryPoint
from slim_ray_image.first_party_layers import attribute_checks
from slim_ray_image.serve_config import ConfigWarning, ConfigWarningRequest
from slim_ray_image.target_types import (
    BaseImageField,
    LabelsField,
    ServeApplicationField,
    ServeConfigField,
)

BUILD = "python_sources()\nslim_ray_image(name='image', serve_config='serve.yaml')\n"
APART = "python_sources()\nslim_ray_images(name='apart', serve_config='serve.yaml'{})\n"
CONFIG = """\
applications:
- name: fruit
  route_prefix: /fruit
  import_path: app.fruit:app
- name: prices
  route_prefix: /prices
  import_path: app.prices:build
  args: {currency: EUR}
"""
JOB = """\
apiVersion: ray.io/v1
kind: RayJob
spec:
  entrypoint: python app/fruit.py --rounds 3
"""


def write_shop(rule_runner: RuleRunner, build: str = BUILD, config: Optional[str] = CONFIG) -> None:
    files: dict[str, str] = {
        "app/BUILD": build,
        "app/fruit.py": "import app.goods\napp = 1\n",
        "app/goods.py": "",
        "app/prices.py": "import app.money\ndef build(args): ...\n",
        "app/money.py": "",
    }
    write(rule_runner, files if config is None else {**files, "app/serve.yaml": config})


def apart(name: str) -> Address:
    return Address("src/app", target_name="apart", generated_name=name)


def generated(rule_runner: RuleRunner, name: str) -> Mapping[str, object]:
    """The fields of a generated target that are asked for below."""
    target = rule_runner.get_target(apart(name))
    fields = (ServeConfigField, ServeApplicationField, BaseImageField, LabelsField)
    return {field.alias: target[field].value for field in fields}


def generation_error(rule_runner: RuleRunner, name: str = "fruit") -> str:
    request = WrappedTargetRequest(apart(name), description_of_origin="the test")
    return error_text(rule_runner, WrappedTarget, [request], InvalidTargetException)


# --- One image


def test_owner_of_each_application_is_inferred(rule_runner: RuleRunner) -> None:
    """Owners of builders and of bound applications are inferred, each with its line of the file as the reason."""
    write_shop(rule_runner)
    assert direct_dependencies(rule_runner) == ["src/app/fruit.py", "src/app/prices.py"]
    closure = find_closure(rule_runner)
    assert {file.path: file.reason for file in closure.files} == {
        "app/fruit.py": "application 'fruit' at src/app/serve.yaml:4",
        "app/goods.py": "import of app.goods at src/app/fruit.py:1",
        "app/money.py": "import of app.money at src/app/prices.py:1",
        "app/prices.py": "application 'prices' at src/app/serve.yaml:7",
        "serve_config.yaml": "`serve_config` of src/app:image",
    }
    assert closure_contents(rule_runner, closure)["serve_config.yaml"].decode() == CONFIG


def test_edit_of_the_file_changes_the_closure(rule_runner: RuleRunner) -> None:
    """After an edit, modules that no application names are gone, and the image has the new config."""
    write_shop(rule_runner)
    before = {file.path for file in find_closure(rule_runner).files}
    edited = CONFIG.replace("app.prices:build", "app.fruit:app")
    write(rule_runner, {"app/serve.yaml": edited})
    closure = find_closure(rule_runner)
    assert before - {file.path for file in closure.files} == {"app/money.py", "app/prices.py"}
    assert closure_contents(rule_runner, closure)["serve_config.yaml"].decode() == edited


def test_attribute_of_each_application_is_looked_up(rule_runner: RuleRunner) -> None:
    """The layer's process checks the attribute of each application, named by its application."""
    write_shop(rule_runner)
    assert attribute_checks("src/app:image", find_closure(rule_runner)) == tuple(
        AttributeCheck(
            file=f"app/{name}.py",
            path=f"src/app/{name}.py",
            module=f"app.{name}",
            attribute=attribute,
            named_by=f"application {name!r} at src/app/serve.yaml:{line} of src/app:image",
        )
        for name, attribute, line in (("fruit", "app", 4), ("prices", "build", 7))
    )


def test_two_applications_of_one_module_have_the_reason_of_the_first(
    rule_runner: RuleRunner,
) -> None:
    """A module with two applications is in the image once, with the first application as its reason."""
    write_shop(rule_runner, config=CONFIG.replace("app.prices:build", "app.fruit:other"))
    closure = find_closure(rule_runner)
    assert closure.files[0].reason == "application 'fruit' at src/app/serve.yaml:4"
    assert len(closure.entries) == 2


def test_environment_of_the_file_is_told_when_an_image_is_made(rule_runner: RuleRunner) -> None:
    """A `runtime_env` is an error of the image only; other goals of Pants still know its code."""
    write_shop(rule_runner, config=CONFIG + "  runtime_env: {pip: [requests]}\n")
    assert direct_dependencies(rule_runner) == ["src/app/fruit.py", "src/app/prices.py"]
    assert closure_error(rule_runner).startswith(
        "A `runtime_env` in src/app/serve.yaml would run code from outside of the image.\n\n"
        "  * src/app/serve.yaml:9: applications[1].runtime_env.pip is"
    )


def test_environment_of_one_application_leaves_the_images_of_others_alone(
    rule_runner: RuleRunner,
) -> None:
    """Each image is generated, and only the image of the application with a `runtime_env` is an error."""
    config = CONFIG + "  runtime_env: {pip: [requests]}\n"
    write_shop(rule_runner, build=APART.format(""), config=config)
    assert {file.path for file in find_closure(rule_runner, apart("fruit")).files} == {
        *("app/fruit.py", "app/goods.py", "serve_config.yaml")
    }
    assert "would run code from outside" in closure_error(rule_runner, apart("prices"))


def test_servicers_of_grpc_are_in_the_image(rule_runner: RuleRunner) -> None:
    """Ray imports gRPC servicers when it starts its proxy; they are neither applications nor a program."""
    write_shop(
        rule_runner, config=CONFIG + "grpc_options: {grpc_servicer_functions: [app.pb.add]}\n"
    )
    write(rule_runner, {"app/pb.py": "def add(*arguments): ...\n"})
    closure = find_closure(rule_runner)
    reasons = {file.path: file.reason for file in closure.files}
    assert reasons["app/pb.py"] == (
        "`grpc_servicer_functions` 'app.pb.add' at src/app/serve.yaml:9"
    )
    assert len(attribute_checks("src/app:image", closure)) == 2
    assert closure.program is None


def test_job_of_a_manifest_is_what_the_image_starts_with(rule_runner: RuleRunner) -> None:
    """The job's command is followed to its file, and no config is added to the image."""
    write_shop(rule_runner, config=JOB)
    closure = find_closure(rule_runner)
    assert [file.path for file in closure.files] == ["app/fruit.py", "app/goods.py"]
    assert closure.files[0].reason == (
        "`entrypoint` 'python app/fruit.py --rounds 3' at src/app/serve.yaml:4"
    )
    assert closure.config is not None
    assert closure.config.entry_point == EntryPoint(
        "app.fruit", None, ("--rounds", "3"), "app/fruit.py"
    )


def test_package_is_no_file_that_a_job_runs(rule_runner: RuleRunner) -> None:
    """A job that runs a path needs a file: a package of that name is not its owner."""
    write_shop(rule_runner, config=JOB.replace("app/fruit.py", "app/stand.py"))
    write(rule_runner, {"app/stand/BUILD": "python_sources()\n", "app/stand/__init__.py": ""})
    assert closure_error(rule_runner).startswith("No target owns the module app.stand, so")


def test_module_that_nobody_owns_is_named_by_its_application(
    rule_runner: RuleRunner, golden: Golden
) -> None:
    """The message has the line of the file, and the other application is still inferred."""
    write_shop(rule_runner, config=CONFIG.replace("app.prices:", "app.price:"))
    assert direct_dependencies(rule_runner) == ["src/app/fruit.py"]
    golden.check("errors/serve/serve-config-no-owner.txt", closure_error(rule_runner))


def test_mistakes_of_all_applications_are_reported_together(rule_runner: RuleRunner) -> None:
    """A user mends both modules and the `runtime_env` before the next run."""
    config = CONFIG.replace("app.prices:", "app.price:").replace("app.fruit:", "app.fruits:")
    write_shop(rule_runner, config=config + "  runtime_env: {pip: [requests]}\n")
    text = closure_error(rule_runner)
    assert [
        line for line in text.splitlines() if line.startswith(("No target", "A `runtime_env`"))
    ] == [
        "A `runtime_env` in src/app/serve.yaml would run code from outside of the image.",
        "No target owns the module app.fruits, so it cannot go into the image src/app:image.",
        "No target owns the module app.price, so it cannot go into the image src/app:image.",
    ]


def test_file_that_is_not_there_is_an_error(rule_runner: RuleRunner, golden: Golden) -> None:
    """Only the image fails: goals that list targets and dependencies still work."""
    write_shop(rule_runner, config=None)
    assert direct_dependencies(rule_runner) == []
    golden.check("errors/serve/serve-config-missing.txt", closure_error(rule_runner))


def test_file_that_is_no_text_is_an_error(rule_runner: RuleRunner, golden: Golden) -> None:
    """A file that is not UTF-8 is an error."""
    write_shop(rule_runner)
    rule_runner.write_files({"src/app/serve.yaml": b"name: \xff\n"})
    golden.check("errors/serve/serve-config-no-utf-8.txt", closure_error(rule_runner))


def test_first_party_file_at_the_place_of_the_config_is_an_error(rule_runner: RuleRunner) -> None:
    """The message names both files."""
    write_shop(rule_runner, BUILD.replace("yaml')", "yaml', dependencies=['src:other'])"))
    write(
        rule_runner,
        {
            "BUILD": "resource(name='other', source='serve_config.yaml')\n",
            "serve_config.yaml": "other: 1\n",
        },
    )
    text = closure_error(rule_runner)
    assert "serve_config.yaml: from src/app/serve.yaml, src/serve_config.yaml" in text


def test_warnings_of_a_file_are_logged(
    rule_runner: RuleRunner, caplog: pytest.LogCaptureFixture
) -> None:
    """A separate rule logs a warning once for all images that use the file."""
    write_shop(rule_runner, config=CONFIG + "ignored: 1\n")
    config = find_owners(rule_runner).config
    assert config is not None
    (text,) = config.warnings
    assert "src/app/serve.yaml:9: ignored is not a key of Ray Serve" in text
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            rule_runner.request(ConfigWarning, [ConfigWarningRequest(text)])
    assert [record.getMessage() for record in caplog.records] == [text]


# --- One application


def test_one_application_is_served_alone(rule_runner: RuleRunner) -> None:
    """With `serve_application`, code and config of the other applications stay out."""
    write_shop(rule_runner, BUILD.replace("yaml')", "yaml', serve_application='prices')"))
    closure = find_closure(rule_runner)
    assert [file.path for file in closure.files] == [
        *("app/money.py", "app/prices.py", "serve_config.yaml")
    ]
    config = closure_contents(rule_runner, closure)["serve_config.yaml"].decode()
    assert "prices" in config and "fruit" not in config


def test_unknown_application_is_an_error(rule_runner: RuleRunner) -> None:
    """The message names the unknown application."""
    write_shop(rule_runner, BUILD.replace("yaml')", "yaml', serve_application='fish')"))
    assert "has no application 'fish'" in closure_error(rule_runner)


def test_image_is_generated_for_each_application(rule_runner: RuleRunner) -> None:
    """Each image has the name of its application, the file, and the fields of the generator."""
    build = APART.format(", labels={'a': 'b'}, overrides={'prices': {'base_image': 'python:3.10'}}")
    write_shop(rule_runner, build)
    common = {"serve_config": "serve.yaml", "labels": FrozenDict({"a": "b"})}
    assert generated(rule_runner, "fruit") == {
        **common,
        "serve_application": "fruit",
        "base_image": None,
    }
    assert generated(rule_runner, "prices") == {
        **common,
        "serve_application": "prices",
        "base_image": "python:3.10",
    }
    assert direct_dependencies(rule_runner, apart("fruit")) == ["src/app/fruit.py"]


def test_edit_of_the_file_changes_the_generated_images(rule_runner: RuleRunner) -> None:
    """A new application gets an image."""
    write_shop(rule_runner, APART.format(""))
    assert generated(rule_runner, "fruit")["serve_application"] == "fruit"
    write(rule_runner, {"app/serve.yaml": CONFIG.replace("name: fruit", "name: apples")})
    assert generated(rule_runner, "apples")["serve_application"] == "apples"


def test_fields_of_the_generator_can_be_parametrized(rule_runner: RuleRunner) -> None:
    """There is an image for each application and each value."""
    write_shop(rule_runner, APART.format(", base_image=parametrize(a='a:1', b='b:1')"))
    address = Address(
        "src/app", target_name="apart", generated_name="fruit", parameters={"base_image": "b"}
    )
    assert rule_runner.get_target(address)[BaseImageField].value == "b:1"


@pytest.mark.parametrize(
    ("name", "arguments", "config"),
    [
        ("refused", "", CONFIG.replace("app.fruit:app", "fruit")),
        ("job", "", JOB),
        ("characters", "", CONFIG.replace("name: fruit", "name: 'fruit@2'")),
        ("overrides", ", overrides={'fish': {'env': {}}}", CONFIG),
    ],
    ids=["refused", "job", "characters", "overrides"],
)
def test_file_of_which_nothing_can_be_generated_is_an_error(
    name: str, arguments: str, config: str, rule_runner: RuleRunner, golden: Golden
) -> None:
    """The message names the generator and describes the mistake in the file."""
    write_shop(rule_runner, APART.format(arguments), config)
    golden.check(f"errors/serve/generated-images-{name}.txt", generation_error(rule_runner))


def test_config_is_a_source_of_the_image(rule_runner: RuleRunner) -> None:
    """The file is a source, so that `--changed-since` finds the image when its config changes."""
    write_shop(rule_runner)
    assert rule_runner.get_target(IMAGE)[ServeConfigField].file_path == "src/app/serve.yaml"
    assert find_owners(rule_runner).config is not None
