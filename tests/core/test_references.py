"""Tests of core.image.references."""

from __future__ import annotations

from typing import Mapping, Optional

import pytest
from conftest import error_text

from slim_ray_image.core.image.references import (
    LayoutReference,
    RegistryReference,
    Source,
    parse_image_reference,
    source_of,
)

DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        pytest.param("python", "docker.io", "library/python", None, None, id="name"),
        pytest.param(
            "python:3.10-slim", "docker.io", "library/python", "3.10-slim", None, id="tag"
        ),
        pytest.param("me/base:1", "docker.io", "me/base", "1", None, id="user's repository"),
        pytest.param("docker.io/python", "docker.io", "library/python", None, None, id="docker.io"),
        pytest.param("docker.io/me/base", "docker.io", "me/base", None, None, id="docker.io, user"),
        pytest.param("ghcr.io/me/base:1", "ghcr.io", "me/base", "1", None, id="host with a dot"),
        pytest.param("ghcr.io/base", "ghcr.io", "base", None, None, id="no library elsewhere"),
        pytest.param("localhost/base", "localhost", "base", None, None, id="localhost"),
        pytest.param("localhost:5000/base:1", "localhost:5000", "base", "1", None, id="port"),
        pytest.param("registry:5000/base", "registry:5000", "base", None, None, id="name and port"),
        pytest.param("[::1]:5000/base", "[::1]:5000", "base", None, None, id="IPv6"),
        pytest.param("10.0.0.1/a/b/c", "10.0.0.1", "a/b/c", None, None, id="IPv4, deep repository"),
        pytest.param(f"python@{DIGEST}", "docker.io", "library/python", None, DIGEST, id="digest"),
        pytest.param(
            f"r.example.com/a__b.c--d:1@{DIGEST}",
            "r.example.com",
            "a__b.c--d",
            "1",
            DIGEST,
            id="tag and digest",
        ),
    ],
)
def test_reference_has_docker_s_parts(
    text: str, registry: str, repository: str, tag: Optional[str], digest: Optional[str]
) -> None:
    """A reference is split like in Docker; Docker Hub is the registry if it names none."""
    assert parse_image_reference(text) == RegistryReference(text, registry, repository, tag, digest)


@pytest.mark.parametrize(
    ("text", "path", "tag"),
    [
        pytest.param("oci:3rdparty/base:3.10-slim", "3rdparty/base", "3.10-slim", id="tag"),
        pytest.param("oci:/srv/base", "/srv/base", None, id="absolute, no tag"),
        pytest.param("oci:base:", "base", None, id="empty tag"),
    ],
)
def test_reference_of_a_layout_has_path_and_tag(text: str, path: str, tag: Optional[str]) -> None:
    """`oci:PATH[:TAG]` names a local OCI image layout."""
    assert parse_image_reference(text) == LayoutReference(text, path, tag)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("Python", id="upper case"),
        pytest.param("python:", id="empty tag"),
        pytest.param("python:-x", id="tag starts with a dash"),
        pytest.param("python:" + "x" * 129, id="long tag"),
        pytest.param("python@sha256:0a", id="short digest"),
        pytest.param(f"python@{DIGEST.upper()}", id="upper-case digest"),
        pytest.param("python@md5:" + "0" * 32, id="other algorithm"),
        pytest.param("a//b", id="empty component"),
        pytest.param("a/b/", id="slash at the end"),
        pytest.param("https://ghcr.io/a", id="URL"),
        pytest.param("docker://python", id="transport"),
        pytest.param("python 3", id="space"),
        pytest.param("python\n", id="line break"),
        pytest.param("pythön", id="repository not ASCII"),
        pytest.param("python:größe", id="tag not ASCII"),
        pytest.param("oci:", id="layout without a path"),
        pytest.param("oci::tag", id="layout with a tag alone"),
    ],
)
def test_reference_of_another_form_is_an_error(text: str) -> None:
    """A text that names neither an image in a registry nor a layout is refused, with an example of both."""
    assert error_text(lambda: parse_image_reference(text)) == (
        f"must be an image reference or a local OCI image layout, but was {text!r}.\n"
        "\n"
        "To fix, do one of the following:\n"
        "  * name an image in a registry, such as 'python:3.10-slim' or "
        "'registry.example.com/base/python@sha256:<64 hex digits>'\n"
        "  * name a local OCI image layout by its folder and tag, such as 'oci:3rdparty/oci/base:3.10-slim'"
    )


def registry_reference(text: str) -> RegistryReference:
    reference = parse_image_reference(text)
    assert isinstance(reference, RegistryReference)
    return reference


@pytest.mark.parametrize(
    ("text", "host"),
    [
        pytest.param("python", "registry-1.docker.io", id="Docker Hub"),
        pytest.param("ghcr.io/me/base", "ghcr.io", id="other"),
        pytest.param("localhost:5000/base", "localhost:5000", id="port"),
    ],
)
def test_host_serves_the_registry_s_api(text: str, host: str) -> None:
    """The API of Docker Hub has another host name; every other registry is its own host."""
    assert registry_reference(text).host == host


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.1.2.3", True),
        ("[::1]", True),
        ("[::1]:5000", True),
        ("docker.io", False),
        ("10.0.0.1:5000", False),
        ("[::2]:5000", False),
        ("localhost.example.com", False),
        ("127.example.com", False),
        ("127.0.0.1.example.com:5000", False),
    ],
)
def test_loopback_is_this_machine_alone(registry: str, expected: bool) -> None:
    """Only loopback addresses count as this machine, and no name that merely looks like one."""
    assert registry_reference(f"{registry}/base").is_loopback is expected


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        pytest.param("python", "latest", id="neither"),
        pytest.param("python:3.10", "3.10", id="tag"),
        pytest.param(f"python@{DIGEST}", DIGEST, id="digest"),
        pytest.param(f"python:3.10@{DIGEST}", DIGEST, id="both"),
    ],
)
def test_identifier_prefers_the_digest(text: str, identifier: str) -> None:
    """The identifier is the digest, else the tag, else `latest`."""
    assert registry_reference(text).identifier == identifier


PINNED = f"python:3.10-slim@sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"


@pytest.mark.parametrize(
    ("reference", "sources", "source"),
    [
        ("python:3.10-slim", {}, Source("python:3.10-slim")),
        ("python:3.10-slim", {"python:3.10-slim": "m.test/p:1"}, Source("m.test/p:1")),
        ("python:3.10-slim", {PINNED: "m.test/p:1"}, Source("python:3.10-slim")),
        (PINNED, {}, Source(PINNED)),
        (PINNED, {"python": "m.test/p:1"}, Source(PINNED)),
        (PINNED, {"python:3.10-slim": "m.test/p:1"}, Source(f"m.test/p:1@sha256:{'a' * 64}")),
        (PINNED, {"python:3.10-slim": f"m.test/p@{OTHER}"}, Source(f"m.test/p@sha256:{'a' * 64}")),
        (PINNED, {"python:3.10-slim": "oci:base:1"}, Source("oci:base:1", f"sha256:{'a' * 64}")),
        (PINNED, {PINNED: "oci:base", "python:3.10-slim": "m.test/p"}, Source("oci:base")),
    ],
)
def test_source_is_found_without_the_digest(
    reference: str, sources: Mapping[str, str], source: Source
) -> None:
    """The whole reference is looked up first; a source that is found without the digest must have the digest."""
    assert source_of(reference, sources) == source


@pytest.mark.parametrize(
    ("reference", "sources", "expected"),
    [
        pytest.param(
            "not an image", {}, "The option `[slim-ray].default_base_image` must be", id="default"
        ),
        pytest.param(
            "python:3.10-slim",
            {"python:3.10-slim": "oci:"},
            "The option `[slim-ray].base_image_sources` must be",
            id="source",
        ),
    ],
)
def test_option_that_names_no_image_is_told_by_name(
    reference: str, sources: Mapping[str, str], expected: str
) -> None:
    """An invalid reference in an option is refused when it is used, and the error names the option."""
    assert error_text(lambda: source_of(reference, sources)).startswith(expected)
