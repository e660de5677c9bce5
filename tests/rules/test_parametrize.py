"""One target for several resolves or bases, by Pants' `parametrize`: each of its addresses is a separate image."""

from __future__ import annotations

import pytest
from pants.engine.addresses import Address
from pants.testutil.rule_runner import RuleRunner

from rules.rule_runner import closure_error, direct_dependencies, find_closure, write
from slim_ray_image.target_types import BaseImageField

MAIN, OTHER = (
    Address("src/app", target_name="image", parameters={"resolve": name})
    for name in ("main", "other")
)


def write_service(rule_runner: RuleRunner, resolves: str) -> None:
    """Write a service that needs `thing`, which each of the two resolves has in another version."""
    write(
        rule_runner,
        {
            "3rdparty/BUILD": "".join(
                f"python_requirement(name={name!r}, requirements=['thing=={version}'], resolve={name!r})\n"
                for name, version in (("main", "1"), ("other", "2"))
            ),
            "app/main.py": "import thing\n\napp = thing\n",
            "app/BUILD": (
                f"python_sources(name='lib', resolve={resolves})\n"
                "slim_ray_image(name='image', serve_app='app.main:app', "
                "resolve=parametrize('main', 'other'))\n"
            ),
        },
    )


def test_each_resolve_has_its_own_closure(rule_runner: RuleRunner) -> None:
    """The image of a resolve depends only on the code and the requirements of that resolve."""
    write_service(rule_runner, "parametrize('main', 'other')")
    assert direct_dependencies(rule_runner, MAIN) == ["src/app/main.py:lib@resolve=main"]
    assert direct_dependencies(rule_runner, OTHER) == ["src/app/main.py:lib@resolve=other"]
    for address, resolve, requirement in ((MAIN, "main", "thing==1"), (OTHER, "other", "thing==2")):
        closure = find_closure(rule_runner, address)
        assert closure.resolve == resolve
        assert [found.text for found in closure.requirements] == [requirement]
        assert [file.path for file in closure.files] == ["app/main.py"]


def test_error_names_the_address_with_its_parameters(rule_runner: RuleRunner) -> None:
    """The message names the parametrized address in the form of Pants' command line."""
    write_service(rule_runner, "'main'")
    assert find_closure(rule_runner, MAIN).resolve == "main"
    assert closure_error(rule_runner, OTHER) == (
        "No target in the resolve 'other' owns the module app.main, so it cannot go into the image "
        "src/app:image@resolve=other. It is named by `serve_app` 'app.main:app'. Another resolve has it:\n\n"
        "  * src/app/main.py:lib (resolve 'main')\n\n"
        "To fix, do one of the following:\n"
        "  * set `resolve` on src/app:image@resolve=other to the owner's resolve\n"
        "  * set `resolve='other'` on the owner"
    )


@pytest.mark.parametrize(
    ("name", "base_image"), [("py310", "python:3.10-slim"), ("py311", "python:3.11-slim")]
)
def test_bases_are_told_apart_by_the_names_they_are_given(
    name: str, base_image: str, rule_runner: RuleRunner
) -> None:
    """A reference has characters that an address must not have, so `parametrize` gives each base a name."""
    write(
        rule_runner,
        {
            "app/BUILD": (
                "slim_ray_image(name='image', serve_app='app.main:app', "
                "base_image=parametrize(py310='python:3.10-slim', py311='python:3.11-slim'))\n"
            )
        },
    )
    address = Address("src/app", target_name="image", parameters={"base_image": name})
    assert rule_runner.get_target(address)[BaseImageField].value == base_image
