"""Tests of sandbox.tools.run_uv."""

from __future__ import annotations

from pathlib import Path

import pytest

from slim_ray_image.core.wheels.uv_call import NetworkPlaces, UvCall
from slim_ray_image.sandbox.tools.host_network import HostNetwork
from slim_ray_image.sandbox.tools.run_uv import (
    credentials_environment,
    index_arguments,
    message_lines,
    uv_environment,
)


@pytest.mark.parametrize(
    ("indexes", "find_links", "expected"),
    [
        pytest.param([], [], ["--no-index"], id="nothing"),
        pytest.param(["https://a"], [], ["--default-index", "index0=https://a"], id="one index"),
        pytest.param(
            ["https://a", "https://b", "https://c"],
            [],
            [
                *("--default-index", "index0=https://a"),
                *("--index", "index1=https://b", "--index", "index2=https://c"),
            ],
            id="several indexes",
        ),
        pytest.param(
            [],
            ["/wheels", "x"],
            ["--no-index", "--find-links", "/wheels", "--find-links", "x"],
            id="folders",
        ),
    ],
)
def test_places_of_distributions_are_those_of_pants(
    indexes: list[str], find_links: list[str], expected: list[str]
) -> None:
    """Pants' indexes and pages become arguments of uv, which treats all indexes alike."""
    assert index_arguments(indexes, find_links) == [
        "--index-strategy",
        "unsafe-best-match",
        *expected,
    ]


def test_logins_of_indexes_are_by_their_numbers() -> None:
    """The variables of an index's login contain the name that its argument gives the index."""
    network = HostNetwork({"https://b": ("user", "s:e,c")})
    assert credentials_environment(["https://a", "https://b"], [], network) == {
        "UV_INDEX_INDEX1_USERNAME": "user",
        "UV_INDEX_INDEX1_PASSWORD": "s:e,c",
    }


def test_pages_are_all_in_the_environment_where_one_has_a_login() -> None:
    """If one page has a login, all pages are in the environment, since arguments would override it."""
    network = HostNetwork({"https://b/links": ("user", "s:e,c"), "https://other": ("x", "y")})
    pages = ["https://a/links", "https://b/links", "/wheels"]
    assert credentials_environment([], pages, network) == {
        "UV_FIND_LINKS": "https://a/links,https://user:s%3Ae%2Cc@b/links,/wheels"
    }
    assert credentials_environment([], ["https://a/links", "/wheels"], network) == {}


def call_of(certificates: str) -> UvCall:
    return UvCall("uv/uv", NetworkPlaces((), (), certificates))


def test_environment_of_uv_has_nothing_of_the_user(
    sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No configuration, index, interpreter or home of the user reaches uv."""
    for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "VIRTUAL_ENV", "PYTHONPATH", "NETRC"):
        monkeypatch.setenv(name, "of the user")
    environment = uv_environment(call_of(""))
    assert environment["HOME"] == str(sandbox)
    assert environment["UV_NO_CONFIG"] == "1"
    assert environment["UV_CACHE_DIR"] == str(sandbox / ".uv-cache")
    assert "of the user" not in environment.values()
    assert "SSL_CERT_FILE" not in environment


def test_certificates_are_those_of_pants(sandbox: Path) -> None:
    """The environment for uv has the absolute path of Pants' CA bundle."""
    assert uv_environment(call_of("ca.pem"))["SSL_CERT_FILE"] == str(sandbox / "ca.pem")


def test_message_of_uv_is_told_without_its_drawing() -> None:
    """The lines of uv's error message are kept, without the boxes around them."""
    stderr = "  \u00d7 No solution found:\n  ╰─▶ Because a==1\n      and b\n\n  │\n  hint: look\n"
    assert message_lines(stderr) == [
        "No solution found:",
        "Because a==1",
        "and b",
        "hint: look",
    ]
