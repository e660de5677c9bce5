"""The names of an image: the target's fields, and the options of Pants' docker backend, enabled or not."""

from __future__ import annotations

from typing import Any, Mapping

import pytest
from conftest import Golden
from pants.backend.docker import register as docker
from pants.backend.docker.goals.package_image import DockerPackageFieldSet
from pants.backend.docker.registries import ALL_DEFAULT_REGISTRIES as PANTS_ALL_DEFAULT_REGISTRIES
from pants.backend.docker.registries import DockerRegistries
from pants.backend.docker.target_types import (
    DockerImageRegistriesField,
    DockerImageRepositoryField,
    DockerImageTagsField,
)
from pants.engine.addresses import Address
from pants.engine.target import Field
from pants.testutil.rule_runner import RuleRunner
from pants.util.value_interpolation import InterpolationContext

from rules.rule_runner import OPTIONS, empty_repository, error_text, make_rule_runner, write
from slim_ray_image.core.image.names import ALL_DEFAULT_REGISTRIES, ImageNames
from slim_ray_image.image_names import ImageNamesRequest
from slim_ray_image.target_types import ImageTagsField, RegistriesField, RepositoryField

IMAGE = Address("src/Team/app", target_name="image")
REGISTRIES = {
    "prod": {
        "address": "registry.example.com",
        "default": True,
        "extra_image_tags": ["stable"],
        "repository": "prod/{target_repository}",
    },
    "default": {"address": "b.example.com:5000"},
    "dev": {"address": "dev.example.com"},
}


@pytest.fixture(scope="module")
def docker_rule_runner() -> RuleRunner:
    return make_rule_runner(docker)


@pytest.fixture(params=["without-docker-backend", "with-docker-backend"])
def runner(request: Any) -> RuleRunner:
    """An empty repository, without and with Pants' docker backend beside the plugin."""
    if request.param == "without-docker-backend":
        return request.getfixturevalue("rule_runner")
    found: RuleRunner = request.getfixturevalue("docker_rule_runner")
    empty_repository(found)
    return found


def names_request(
    runner: RuleRunner, fields: str, registries: Mapping[str, Any], default_repository: str
) -> ImageNamesRequest:
    runner.set_options(
        [
            *OPTIONS,
            f"--docker-registries={dict(registries)!r}",
            f"--docker-default-repository={default_repository}",
        ]
    )
    write(
        runner,
        {"Team/app/BUILD": f"slim_ray_image(name='image', serve_app='a:b', {fields})\n"},
    )
    found = runner.get_target(IMAGE)
    return ImageNamesRequest(
        IMAGE, found[RepositoryField], found[RegistriesField], found[ImageTagsField]
    )


def names_of(
    runner: RuleRunner,
    fields: str = "",
    registries: Mapping[str, Any] = {},
    default_repository: str = "{name}",
) -> tuple[str, ...]:
    request = names_request(runner, fields, registries, default_repository)
    return runner.request(ImageNames, [request]).templates


def test_fields_are_those_of_docker_image() -> None:
    """Names and defaults of the fields are the same as `docker_image`'s, for users who know that target."""
    pairs: tuple[tuple[type[Field], type[Field]], ...] = (
        (RepositoryField, DockerImageRepositoryField),
        (RegistriesField, DockerImageRegistriesField),
        (ImageTagsField, DockerImageTagsField),
    )
    for ours, theirs in pairs:
        assert (ours.alias, ours.default) == (theirs.alias, theirs.default)
    assert ALL_DEFAULT_REGISTRIES == PANTS_ALL_DEFAULT_REGISTRIES


def test_nothing_configured_gives_the_target_s_name(runner: RuleRunner) -> None:
    """Without options and fields there is one name, without a registry."""
    assert names_of(runner) == ("image:latest",)


def test_options_of_docker_name_the_image(runner: RuleRunner) -> None:
    """`[docker]` is read whether or not its backend is enabled, and registries with `default` name the image."""
    fields = "image_tags=['1', '{pants.hash}']"
    assert names_of(runner, fields, REGISTRIES, "{parent_directory}/{directory}") == (
        "b.example.com:5000/team/app:1",
        "b.example.com:5000/team/app:{pants.hash}",
        "registry.example.com/prod/team/app:1",
        "registry.example.com/prod/team/app:{pants.hash}",
        "registry.example.com/prod/team/app:stable",
    )


def test_target_chooses_its_registries(runner: RuleRunner) -> None:
    """An alias and an address are named in the target's order."""
    fields = "repository='app', registries=['@dev', 'a.example.com']"
    assert names_of(runner, fields, REGISTRIES) == (
        "dev.example.com/app:latest",
        "a.example.com/app:latest",
    )


def test_names_are_those_of_the_docker_backend(docker_rule_runner: RuleRunner) -> None:
    """For the same fields and options a `docker_image` beside ours has the same names."""
    empty_repository(docker_rule_runner)
    repository, tags = "{directory}/{name}", ("1", "2")
    fields = f"repository={repository!r}, image_tags={list(tags)!r}"
    ours = names_of(docker_rule_runner, fields, REGISTRIES)
    write(docker_rule_runner, {"Team/app/BUILD": f"docker_image(name='image', {fields})\n"})
    field_set = DockerPackageFieldSet.create(docker_rule_runner.get_target(IMAGE))
    theirs = field_set.image_refs(
        default_repository="{name}",
        registries=DockerRegistries.from_dict(REGISTRIES),
        interpolation_context=InterpolationContext(),
    )
    assert ours == tuple(tag.full_name for registry in theirs for tag in registry.tags)


def test_registry_that_is_not_configured_is_an_error(runner: RuleRunner, golden: Golden) -> None:
    """The golden file has the whole text that a user sees."""
    request = names_request(runner, "registries=['@staging']", REGISTRIES, "{name}")
    golden.check(
        "errors/image/names-of-unknown-registry.txt", error_text(runner, ImageNames, [request])
    )


@pytest.mark.parametrize(
    ("registries", "name"),
    [({"prod": {"default": True}}, "no-address"), ({"prod": "registry.example.com"}, "no-table")],
)
def test_registries_that_cannot_be_read_are_an_error(
    registries: Mapping[str, Any], name: str, runner: RuleRunner, golden: Golden
) -> None:
    """An entry that the docker backend cannot read either is reported as the user's mistake, not as a fault."""
    request = names_request(runner, "", registries, "{name}")
    golden.check(f"errors/image/registries-{name}.txt", error_text(runner, ImageNames, [request]))


def test_generated_image_is_named_as_its_application(rule_runner: RuleRunner) -> None:
    """`{name}` differs between the images of one generator."""
    config = "applications: [{name: fruit, import_path: 'a:b'}]\n"
    build = "slim_ray_images(name='apart', serve_config='serve.yaml')\n"
    write(rule_runner, {"shop/BUILD": build, "shop/serve.yaml": config})
    address = Address("src/shop", target_name="apart", generated_name="fruit")
    found = rule_runner.get_target(address)
    fields = (found[RepositoryField], found[RegistriesField], found[ImageTagsField])
    names = rule_runner.request(ImageNames, [ImageNamesRequest(address, *fields)])
    assert names.references("0" * 64) == ("fruit:latest",)
