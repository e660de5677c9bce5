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
    """Distributions are looked for where Pants is told to look; of several indexes, all count alike."""
    assert index_arguments(indexes, find_links) == [
        "--index-strategy",
        "unsafe-best-match",
        *expected,
    ]


def test_logins_of_indexes_are_by_their_numbers() -> None:
    """The login of an index is found by the name that its argument gave it."""
    network = HostNetwork({"https://b": ("user", "s:e,c")})
    assert credentials_environment(["https://a", "https://b"], [], network) == {
        "UV_INDEX_INDEX1_USERNAME": "user",
        "UV_INDEX_INDEX1_PASSWORD": "s:e,c",
    }


def test_pages_are_all_in_the_environment_where_one_has_a_login() -> None:
    """To uv, pages of arguments stand in the place of those in the environment, so they are in one of the two."""
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
    """A CA bundle is named by its full path."""
    assert uv_environment(call_of("ca.pem"))["SSL_CERT_FILE"] == str(sandbox / "ca.pem")


def test_message_of_uv_is_told_without_its_drawing() -> None:
    """The lines of uv's error message are kept, the boxes around them are not."""
    stderr = "  \u00d7 No solution found:\n  ╰─▶ Because a==1\n      and b\n\n  │\n  hint: look\n"
    assert message_lines(stderr) == [
        "No solution found:",
        "Because a==1",
        "and b",
        "hint: look",
    ]
