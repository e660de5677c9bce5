"""Tests of core.image.digests."""

from __future__ import annotations

from conftest import error_text

from slim_ray_image.core.image.digests import check_digest, sha256


def test_sha256_is_written_as_a_digest() -> None:
    """A digest is `sha256:` and 64 hex digits."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256(b"") == f"sha256:{empty}"


def test_blob_of_a_layout_with_another_digest_is_an_error() -> None:
    """The error has the expected and the found digest."""
    check_digest("oci:base", sha256(b"a"), b"a")
    assert error_text(lambda: check_digest("oci:base", sha256(b"a"), b"b")) == (
        "The content of the base image oci:base does not match its digest.\n"
        "\n"
        f"  * a blob should be {sha256(b'a')}, but is {sha256(b'b')}\n"
        "\n"
        "To fix, make the layout again."
    )
