"""Tests of core.wheels.proxies."""

from __future__ import annotations

from typing import Mapping, Optional

import pytest

from slim_ray_image.core.wheels.proxies import Proxy, find_proxy, spell_out

HTTP, HTTPS = "http://a.example/x", "https://a.example/x"
PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "environment", "address"),
    [
        pytest.param(HTTPS, {}, None, id="none"),
        pytest.param(HTTPS, {"https_proxy": PROXY}, "proxy:3128", id="lower case"),
        pytest.param(HTTPS, {"HTTPS_PROXY": PROXY}, "proxy:3128", id="upper case"),
        pytest.param(HTTP, {"HTTP_PROXY": PROXY}, "proxy:3128", id="http"),
        pytest.param(HTTPS, {"http_proxy": PROXY}, None, id="other scheme"),
        pytest.param(HTTP, {"https_proxy": PROXY}, None, id="other scheme, http"),
        pytest.param(
            HTTPS, {"https_proxy": PROXY, "HTTPS_PROXY": "x"}, "proxy:3128", id="lower wins"
        ),
        pytest.param(HTTPS, {"https_proxy": "", "HTTPS_PROXY": PROXY}, None, id="empty"),
        pytest.param(HTTPS, {"all_proxy": PROXY}, "proxy:3128", id="all"),
        pytest.param(HTTP, {"ALL_PROXY": PROXY}, "proxy:3128", id="all, upper case"),
        pytest.param(HTTPS, {"all_proxy": "x", "HTTPS_PROXY": PROXY}, "proxy:3128", id="own wins"),
        pytest.param("file:///x", {"all_proxy": PROXY}, None, id="file"),
        pytest.param(HTTPS, {"https_proxy": "proxy:3128"}, "proxy:3128", id="no scheme"),
        pytest.param(HTTPS, {"https_proxy": "proxy"}, "proxy:80", id="no port"),
        pytest.param(HTTPS, {"https_proxy": f"{PROXY}/"}, "proxy:3128", id="slash"),
        pytest.param(HTTPS, {"https_proxy": "http://[::2]:1"}, "[::2]:1", id="IPv6"),
    ],
)
def test_proxy_is_that_of_the_scheme(
    url: str, environment: Mapping[str, str], address: Optional[str]
) -> None:
    """A variable in lower case wins over upper case, and the scheme's own variable wins over `all_proxy`."""
    assert find_proxy(url, environment) == (Proxy(address) if address else None)


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_direct"),
    [
        ("a.example", "a.example", True),
        ("a.example", "A.Example", True),
        ("A.EXAMPLE", "a.example", True),
        ("a.example.", "a.example", True),
        ("a.example", "b.example", False),
        ("a.example", "b.example, a.example", True),
        ("a.example", "b.example a.example", True),
        ("b.a.example", "a.example", True),
        ("b.a.example", ".a.example", True),
        ("a.example", ".a.example", True),
        ("b.a.example", "*.a.example", True),
        ("ba.example", "a.example", False),
        ("ba.example", "*.a.example", False),
        ("a.example", "example", True),
        ("a.example", "*", True),
        ("a.example", "b.example,*", True),
        ("10.1.2.3", "*", True),
        ("a.example", ",", False),
        ("a.example", ".", False),
        ("a.example:8443", "a.example", True),
        ("a.example:8443", "a.example:8443", True),
        ("a.example:8443", "a.example:443", False),
        ("a.example", "a.example:443", True),
        ("b.a.example", ".a.example:443", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:5000", "10.1.2.3:5000", True),
        ("10.1.2.3:5000", "10.1.2.3:5001", False),
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16", False),
        ("110.1.2.3", "10.1.2.3", False),
        ("a.example", "10.0.0.0/8", False),
        ("10.1.2.3", "2.3", False),
        ("a.example", ":443", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "fd00:0:0::1", True),
        ("[fd00::1]:5000", "[fd00::1]:5000", True),
        ("[fd00::1]:5000", "[fd00::1]:5001", False),
        ("[fd00::1]", "10.0.0.0/8", False),
        ("localhost", "", True),
        ("registry.localhost:5000", "", True),
        ("127.0.0.1:5000", "", True),
        ("127.9.9.9", "", True),
        ("[::1]:5000", "", True),
        ("localhost.example", "", False),
        ("128.0.0.1", "", False),
        ("0.0.0.0", "", False),
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_some_hosts_are_asked_directly(
    host: str, no_proxy: str, is_direct: bool, name: str
) -> None:
    """Requests to hosts in `no_proxy` and to this machine are direct: for a proxy, loopback is another machine."""
    found = find_proxy(f"https://{host}/v2/", {"all_proxy": PROXY, name: no_proxy})
    assert (found is None) == is_direct


@pytest.mark.parametrize(
    ("userinfo", "header"),
    [
        ("", None),
        ("user:password@", "Basic dXNlcjpwYXNzd29yZA=="),
        ("u%40b:p%2Fq%3A@", "Basic dUBiOnAvcTo="),
        ("token@", "Basic dG9rZW46"),
        ("u:%E2%82%AC@", "Basic dTrigqw="),
        ("u:p@q@", "Basic dTpwQHE="),
    ],
)
def test_login_of_a_proxy_is_in_a_header_and_not_in_its_address(
    userinfo: str, header: Optional[str]
) -> None:
    """Credentials are in a header only, so that errors that name the proxy's address contain no password."""
    proxy = find_proxy(HTTPS, {"https_proxy": f"http://{userinfo}proxy:3128"})
    assert proxy is not None
    assert proxy.address == "proxy:3128"
    assert proxy.headers.get("Proxy-Authorization") == header


@pytest.mark.parametrize(
    "value",
    [
        "socks5://u:secret@proxy:1080",
        "https://u:secret@proxy:3129",
        "http://u:secret/x@proxy:3128",
        "http://u:12/secret@proxy:3128",
        "http://u:secret#x@proxy:3128",
        "http://u:secret?x@proxy:3128",
        "http://u:se cret@proxy:3128",
        "http://u:secret@proxy:port",
        "http://u:secret@proxy:99999",
        "http://u:secret@",
        "http://u:secret@[proxy",
        "http://u:secret@pro\N{FULLWIDTH COMMERCIAL AT}xy",
        "u:secret@proxy:3128/path",
    ],
)
def test_proxy_that_cannot_be_asked_is_an_error_without_its_login(value: str) -> None:
    """The error names only the variable, since a password can be anywhere in a wrong URL."""
    with pytest.raises(ValueError) as caught:
        find_proxy(HTTPS, {"HTTPS_PROXY": value})
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith("the proxy of `https_proxy` is not of the form http://")
    # A wrong variable is no error if the request needs no proxy.
    assert find_proxy(HTTPS, {"HTTPS_PROXY": value, "no_proxy": "a.example"}) is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        ({"no_proxy": "a.example"}, {}),
        (
            {"HTTPS_PROXY": PROXY},
            {"https_proxy": PROXY, "no_proxy": "localhost,127.0.0.0/8,::1"},
        ),
        (
            {"ALL_PROXY": PROXY, "http_proxy": "other", "NO_PROXY": "a.example,.b"},
            {
                "http_proxy": "other",
                "https_proxy": PROXY,
                "no_proxy": "localhost,127.0.0.0/8,::1,a.example,.b",
            },
        ),
        (
            {"all_proxy": PROXY, "no_proxy": "a, *"},
            {"http_proxy": PROXY, "https_proxy": PROXY, "no_proxy": "*"},
        ),
    ],
)
def test_other_programs_are_told_the_same(
    environment: Mapping[str, str], expected: Mapping[str, str]
) -> None:
    """Other programs get one variable for each scheme, and `no_proxy` with this machine."""
    assert spell_out(environment) == expected
