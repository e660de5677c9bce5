"""The proposals of `pants tailor`: one image beside each file that binds a Serve application."""

from __future__ import annotations

import pytest
from pants.core.goals.tailor import PutativeTarget, PutativeTargets
from pants.testutil.rule_runner import RuleRunner

from rules.rule_runner import OPTIONS, write
from slim_ray_image.tailor import PutativeSlimRayImagesRequest
from slim_ray_image.target_types import SlimRayImageTarget

APP = "from ray import serve\n\napp = Echo.bind()\n"


def proposed(rule_runner: RuleRunner, *folders: str) -> PutativeTargets:
    return rule_runner.request(
        PutativeTargets, [PutativeSlimRayImagesRequest(folders or ("src/echo",))]
    )


def image(folder: str, serve_app: str) -> PutativeTarget:
    return PutativeTarget.for_target_type(
        SlimRayImageTarget,
        path=folder,
        name="image",
        triggering_sources=(),
        kwargs={"serve_app": serve_app},
    )


def test_file_that_binds_an_application_gets_an_image(rule_runner: RuleRunner) -> None:
    """The module is named from its source root; other files beside it get no image."""
    write(
        rule_runner,
        {"echo/main.py": APP, "echo/other.py": "import ray\n", "root.py": APP.replace("app", "a")},
    )
    assert proposed(rule_runner) == PutativeTargets([image("src/echo", "echo.main:app")])
    assert proposed(rule_runner, "src") == PutativeTargets([image("src", "root:a")])


def test_package_that_binds_an_application_is_named_by_its_folder(rule_runner: RuleRunner) -> None:
    """`__init__.py` is the module of its folder."""
    write(rule_runner, {"echo/__init__.py": APP})
    assert proposed(rule_runner) == PutativeTargets([image("src/echo", "echo:app")])


@pytest.mark.parametrize("name", ["my-app", "app.main", "class", "1st"])
def test_file_that_no_import_path_can_name_gets_none(name: str, rule_runner: RuleRunner) -> None:
    """A file that Ray Serve could not import gets no image, and other files still get theirs."""
    write(rule_runner, {f"echo/{name}.py": APP, "echo/main.py": APP})
    assert proposed(rule_runner) == PutativeTargets([image("src/echo", "echo.main:app")])


def test_files_of_other_folders_are_not_looked_at(rule_runner: RuleRunner) -> None:
    """Only the folders that the user names are searched."""
    write(rule_runner, {"echo/main.py": APP, "ranker/main.py": APP})
    assert proposed(rule_runner, "src/ranker") == PutativeTargets(
        [image("src/ranker", "ranker.main:app")]
    )


@pytest.mark.parametrize(
    ("build_file", "text"),
    [
        ("echo/BUILD", "slim_ray_image(name='service', serve_app='echo.main:app')\n"),
        ("echo/BUILD", "slim_ray_image(name='service', serve_app='echo.main:other')\n"),
        ("deploy/BUILD", "slim_ray_image(name='echo', serve_app='echo.main:app')\n"),
    ],
    ids=["another-name", "another-application", "another-folder"],
)
def test_module_that_an_image_serves_gets_none(
    build_file: str, text: str, rule_runner: RuleRunner
) -> None:
    """An existing target of any name, in any folder, that serves the module is enough."""
    write(rule_runner, {"echo/main.py": APP, build_file: text})
    assert proposed(rule_runner) == PutativeTargets()


@pytest.mark.parametrize("generator", ["slim_ray_image", "slim_ray_images"])
def test_modules_that_a_serve_config_names_get_none(
    generator: str, rule_runner: RuleRunner
) -> None:
    """Each application of the file counts, whether its image serves others too or not."""
    config = "applications:\n- {name: a, route_prefix: /a, import_path: 'echo.main:app'}\n"
    more = "- {name: b, route_prefix: /b, import_path: 'echo.second:app'}\n"
    write(
        rule_runner,
        {
            "echo/main.py": APP,
            "echo/second.py": APP,
            "echo/third.py": APP,
            "deploy/serve.yaml": config + more,
            "deploy/BUILD": f"{generator}(name='echo', serve_config='serve.yaml')\n",
        },
    )
    assert proposed(rule_runner) == PutativeTargets([image("src/echo", "echo.third:app")])


def test_serve_config_that_cannot_be_read_names_nothing(rule_runner: RuleRunner) -> None:
    """`pants tailor` does not report the mistakes of a Serve config."""
    build = "slim_ray_image(name='echo', serve_config='serve.yaml')\n"
    write(rule_runner, {"echo/main.py": APP, "deploy/serve.yaml": "a: [", "deploy/BUILD": build})
    assert proposed(rule_runner) == PutativeTargets([image("src/echo", "echo.main:app")])


def test_image_of_another_module_does_not_count(rule_runner: RuleRunner) -> None:
    """A second file of a folder gets its own image."""
    write(
        rule_runner,
        {
            "echo/main.py": APP,
            "echo/second.py": APP,
            "echo/BUILD": "slim_ray_image(name='image', serve_app='echo.main:app')\n",
        },
    )
    assert proposed(rule_runner) == PutativeTargets([image("src/echo", "echo.second:app")])


@pytest.mark.parametrize("name", ["test_main.py", "main_test.py", "tests.py", "conftest.py"])
def test_tests_get_no_image(name: str, rule_runner: RuleRunner) -> None:
    """Tests are skipped, because they bind applications for themselves."""
    write(rule_runner, {f"echo/{name}": APP})
    assert proposed(rule_runner) == PutativeTargets()


def test_file_outside_the_source_roots_gets_no_image(rule_runner: RuleRunner) -> None:
    """A file outside the source roots has no module that an image could serve; other files still get theirs."""
    rule_runner.write_files({"scripts/main.py": APP, "src/echo/main.py": APP})
    assert proposed(rule_runner, "scripts", "src/echo") == PutativeTargets(
        [image("src/echo", "echo.main:app")]
    )


def test_tailor_can_be_told_not_to(rule_runner: RuleRunner) -> None:
    """`[slim-ray].tailor` turns the proposals off."""
    write(rule_runner, {"echo/main.py": APP})
    rule_runner.set_options([*OPTIONS, "--no-slim-ray-tailor"])
    assert proposed(rule_runner) == PutativeTargets()
