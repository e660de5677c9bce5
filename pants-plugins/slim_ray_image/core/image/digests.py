"""Digests of blobs, and the error for a blob with a wrong digest (descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
from typing import Optional

from slim_ray_image.core.errors import SlimRayImageError


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_error(
    reference: str, expected: str, found: str, host: Optional[str] = None
) -> SlimRayImageError:
    """Return the error for a blob of the base image `reference` with the wrong digest `found`.

    Args:
        host: Registry that sent the blob; None for a blob of a local layout.
    """
    if host is None:
        was, fix = "is", "make the layout again"
    else:
        was, fix = f"{host} sent", "have the registry repaired, or use another; nothing was kept"
    return SlimRayImageError(
        f"The content of the base image {reference} does not match its digest.",
        evidence=[f"a blob should be {expected}, but {was} {found}"],
        fixes=[fix],
    )


def check_digest(reference: str, expected: str, content: bytes, host: Optional[str] = None) -> None:
    """Check that the content of a base image's blob has the digest `expected`; for the rest, see `digest_error`."""
    found = sha256(content)
    if found != expected:
        raise digest_error(reference, expected, found, host)
