"""Tests of core.wheels.indexes."""

from __future__ import annotations

from typing import Optional

import pytest

from slim_ray_image.core.wheels.indexes import (
    Credentials,
    host_of,
    join_credentials,
    split_credentials,
    without_credentials,
)


@pytest.mark.parametrize(
    ("url", "plain", "credentials"),
    [
        pytest.param("https://a.example/simple", "https://a.example/simple", None, id="none"),
        pytest.param("https://u:p@a.example/s/", "https://a.example/s/", ("u", "p"), id="both"),
        pytest.param("https://token@a.example/", "https://a.example/", ("token", ""), id="user"),
        pytest.param("http://u:p@[::1]:8080/", "http://[::1]:8080/", ("u", "p"), id="port"),
        pytest.param(
            "https://u%40b:p%2Fq%3A@a.example/", "https://a.example/", ("u@b", "p/q:"), id="escaped"
        ),
        pytest.param("https://u:p@q@a.example/", "https://a.example/", ("u", "p@q"), id="at sign"),
        pytest.param("HTTPS://u@a.example/X", "https://a.example/X", ("u", ""), id="capitals"),
        pytest.param("https://u:p w@a.example/", "https://a.example/", ("u", "p w"), id="space"),
        pytest.param("https://u:[@a.example/", "https://a.example/", ("u", "["), id="bracket"),
        pytest.param(
            "git+https://u:p@a.example/x.git@v1",
            "git+https://a.example/x.git@v1",
            ("u", "p"),
            id="version control",
        ),
        pytest.param(
            "https://a.example/@x/", "https://a.example/@x/", None, id="at sign in a path"
        ),
        pytest.param(
            "https://a.example?at=https://u:p@b.example/",
            "https://a.example?at=https://u:p@b.example/",
            None,
            id="another URL in the query",
        ),
        pytest.param("/wheels/u@1", "/wheels/u@1", None, id="folder"),
        pytest.param("file:///wheels", "file:///wheels", None, id="file"),
    ],
)
def test_credentials_are_split_off(
    url: str, plain: str, credentials: Optional[Credentials]
) -> None:
    """The URL to log and store contains no user and no password."""
    assert split_credentials(url) == (plain, credentials)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "pip-compile -i https://u:p@q@a.example/s --find-links='http://t@b.example' x@1.in",
            "pip-compile -i https://a.example/s --find-links='http://b.example' x@1.in",
            id="command",
        ),
        pytest.param(
            "https://a.example/?at=https://u:p@b.example/",
            "https://a.example/?at=https://b.example/",
            id="URL in a URL",
        ),
        pytest.param("x  y\n", "x  y\n", id="none"),
    ],
)
def test_credentials_are_taken_out_of_a_text(text: str, expected: str) -> None:
    """Every URL in a text loses its credentials; the rest of the text is unchanged."""
    assert without_credentials(text) == expected


@pytest.mark.parametrize("credentials", [("u", "p"), ("u@b", "p/q:"), ("token", "")])
def test_credentials_are_joined_as_they_were_split(credentials: Credentials) -> None:
    """Joined credentials can be split off again, since special characters are escaped."""
    url = join_credentials("https://a.example:8443/simple/?x=1", credentials)
    assert split_credentials(url) == ("https://a.example:8443/simple/?x=1", credentials)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://u:p@A.example:8443/x", "a.example"),
        ("http://127.0.0.1:1/", "127.0.0.1"),
        ("file:///x", None),
        ("wheels", None),
    ],
)
def test_host_is_what_netrc_calls_a_machine(url: str, host: Optional[str]) -> None:
    """A host is returned without its port, and None for a text that is not an http or https URL."""
    assert host_of(url) == host
