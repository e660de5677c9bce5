"""Tests of core.image.names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import pytest
from conftest import Golden, error_text

from slim_ray_image.core.image.names import (
    ALL_DEFAULT_REGISTRIES,
    ImageNames,
    NameSettings,
    Registry,
    name_image,
    tags_of,
)

SETTINGS = NameSettings(
    address="src/services/ranker:image",
    target_name="image",
    directory="src/services/ranker",
    repository=None,
    registries=(ALL_DEFAULT_REGISTRIES,),
    image_tags=("latest",),
    default_repository="{name}",
    configured_registries=(),
)
PROD = Registry("registry.example.com", "prod", is_default=True)
DEV = Registry("dev.example.com:5000/team", "dev", extra_image_tags=("dev",))
HEX = "ab" * 32


def name(**changes: Any) -> ImageNames:
    return name_image(replace(SETTINGS, **changes))


def references(**changes: Any) -> tuple[str, ...]:
    return name(**changes).references(HEX)


def test_name_is_the_target_s_where_nothing_is_said() -> None:
    """The default reference is the target's name with the tag `latest`, without a registry."""
    assert references() == ("image:latest",)


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        ("team/ranker", "team/ranker"),
        ("{directory}", "ranker"),
        ("{parent_directory}/{directory}", "services/ranker"),
        ("{full_directory}", "src/services/ranker"),
        ("{name}-of-{directory}", "image-of-ranker"),
        ("team/{default_repository}", "team/image"),
        ("{target_repository}", None),
        ("ranker/{pants.hash}", f"ranker/{HEX}"),
    ],
)
def test_repository_may_have_placeholders(repository: str, expected: str | None) -> None:
    """Each placeholder of `docker_image` is filled in; `repository` cannot refer to itself."""
    if expected is None:
        assert "lead back to it" in error_text(lambda: name(repository=repository))
    else:
        assert references(repository=repository) == (f"{expected}:latest",)


def test_default_repository_is_that_of_the_option() -> None:
    """`[docker].default_repository` is used if the target sets no `repository`."""
    assert references(default_repository="{directory}/{name}") == ("ranker/image:latest",)
    found = references(repository="ranker", default_repository="team/{name}")
    assert found == ("ranker:latest",)


def test_capitals_of_folders_and_targets_are_lowered() -> None:
    """Capitals in the names of folders and targets become lower case in a repository."""
    found = references(
        target_name="Image",
        directory="Src/Ranker",
        repository="{full_directory}/{directory}/{parent_directory}/{name}",
    )
    assert found == ("src/ranker/ranker/src/image:latest",)


def test_target_of_the_root_folder_has_a_name() -> None:
    """A target at the build root, where all directory placeholders are empty, is named by `{name}`."""
    assert references(directory="") == ("image:latest",)


def test_default_registries_are_named_in_the_order_of_their_addresses() -> None:
    """Default registries are sorted by address; each gets all tags of the target and its own extra tags."""
    other = replace(DEV, is_default=True)
    assert references(configured_registries=(PROD, other), image_tags=("1", "latest")) == (
        "dev.example.com:5000/team/image:1",
        "dev.example.com:5000/team/image:latest",
        "dev.example.com:5000/team/image:dev",
        "registry.example.com/image:1",
        "registry.example.com/image:latest",
    )


def test_registries_without_a_default_give_names_without_a_registry() -> None:
    """A registry without `default` is used only if a target names it."""
    assert references(configured_registries=(DEV,)) == ("image:latest",)
    assert references(configured_registries=(PROD,), registries=()) == ("image:latest",)


@pytest.mark.parametrize("chosen", ["@dev", "dev.example.com:5000/team"], ids=["alias", "address"])
def test_registry_is_chosen_by_alias_or_address(chosen: str) -> None:
    """An alias and an address both choose the configured registry with its settings."""
    assert references(configured_registries=(PROD, DEV), registries=(chosen,)) == (
        "dev.example.com:5000/team/image:latest",
        "dev.example.com:5000/team/image:dev",
    )


def test_registry_may_be_an_address_that_is_not_configured() -> None:
    """An address that is not configured is used unchanged, beside the default registries; each registry counts once."""
    registries = (ALL_DEFAULT_REGISTRIES, "localhost:5000", "@prod")
    assert references(configured_registries=(PROD,), registries=registries) == (
        "registry.example.com/image:latest",
        "localhost:5000/image:latest",
    )


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("fixed/app", "fixed/app"),
        ("mirror/{target_repository}", "mirror/ranker"),
        ("mirror/{default_repository}", "mirror/src/services/ranker/image"),
    ],
)
def test_registry_may_have_a_repository_of_its_own(template: str, expected: str) -> None:
    """A registry's repository replaces the target's, and may contain placeholders for it and the default."""
    assert references(
        configured_registries=(replace(PROD, repository=template),),
        repository="{directory}",
        default_repository="{full_directory}/{name}",
    ) == (f"registry.example.com/{expected}:latest",)


def test_hash_is_that_of_the_image() -> None:
    """`{pants.hash}` stays in a template, and is replaced when the manifest's digest is known."""
    names = name(image_tags=("build-{pants.hash}", "1"))
    assert names.templates == ("image:build-{pants.hash}", "image:1")
    assert names.references(HEX) == (f"image:build-{HEX}", "image:1")


def test_extra_tags_alone_are_enough() -> None:
    """A target without tags gets the extra tags of its registry."""
    found = references(image_tags=(), configured_registries=(DEV,), registries=("@dev",))
    assert found == ("dev.example.com:5000/team/image:dev",)


def test_tags_are_those_of_all_registries_each_once() -> None:
    """Tags of all registries are listed once each; a port is no tag."""
    found = references(
        configured_registries=(PROD, replace(DEV, is_default=True)), image_tags=("1", "latest")
    )
    assert tags_of(found) == ("1", "latest", "dev")


@pytest.mark.parametrize("tag", ["1", "v1.2.3", "_x", "A-b_c.d", "a" * 128, "main-{pants.hash}"])
def test_tag_may_be_what_the_distribution_project_allows(tag: str) -> None:
    """Tags at the limits of the grammar are accepted."""
    assert name(image_tags=(tag,)).templates == (f"image:{tag}",)


def broken_registry(**fields: Any) -> dict[str, Any]:
    return {"configured_registries": (replace(PROD, **fields),)}


MISTAKES: dict[str, dict[str, Any]] = {
    "alias-unknown": {
        "configured_registries": (PROD, DEV),
        "registries": ("@staging", "@dev", "@canary"),
    },
    "alias-without-registries": {"registries": ("@prod",)},
    "address-not-valid": {"registries": ("https://registry.example.com",)},
    "address-of-option-not-valid": broken_registry(address="registry.example.com/"),
    "repository-with-capitals": {"repository": "Team/{directory}"},
    "repository-not-valid": {"repository": "team//ranker"},
    "repository-of-folder-not-valid": {"directory": "src/my ranker", "repository": "{directory}"},
    "repository-with-tag": {"repository": "team/ranker:1"},
    "repository-with-open-brace": {"repository": "team/{name"},
    "repository-empty": {"repository": ""},
    "repository-of-option-not-valid": {"default_repository": "{name}_"},
    "repository-of-registry-not-valid": broken_registry(repository="Team/app"),
    "repository-with-unknown-placeholders": {"repository": "{build_args.TEAM}/{Name}/{name}"},
    "repository-that-leads-back": {"default_repository": "x/{target_repository}"},
    "tags-not-valid": {
        "image_tags": ("1.0+x", "", "-a", ".b", "a" * 129, "ok", "{pants.hash}" * 3)
    },
    "tags-of-registry-not-valid": broken_registry(extra_image_tags=("a b",)),
    "tags-with-unknown-placeholders": {"image_tags": ("{build_args.VERSION}-{tags.base}", "{}")},
    "tags-empty": {"image_tags": ()},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_name_that_is_not_valid_is_refused(mistake: str, golden: Golden) -> None:
    """The error has the wrong text, its place and a fix."""
    call: Callable[[], object] = lambda: name(**MISTAKES[mistake])  # noqa: E731
    golden.check(f"errors/image/name-{mistake}.txt", error_text(call))
