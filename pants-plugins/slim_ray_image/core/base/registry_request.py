"""Stage 1 of 6: requests to the programs that read an image registry, and names of the files that they write."""

from __future__ import annotations

from dataclasses import dataclass

MANIFEST = "manifest.json"
CONFIG = "config.json"
BLOB = "blob"


@dataclass(frozen=True)
class RegistryPlace:
    """A repository in an image registry, and how to connect to the registry.

    Attributes:
        reference: Reference of the image, for messages.
        host: Host of the registry, with its port.
        repository: Name of the repository, without the host.
        plain_http: Whether to use http instead of https.
        certificates: Path of a CA bundle in the sandbox; "" if there is none.
    """

    reference: str
    host: str
    repository: str
    plain_http: bool
    certificates: str

    @property
    def scheme(self) -> str:
        return "http" if self.plain_http else "https"


@dataclass(frozen=True)
class ResolveImageRequest:
    """A request to read the manifest and the image config of an image for a platform from a registry.

    Attributes:
        identifier: A tag, or the digest of a manifest or an image index.
    """

    place: RegistryPlace
    identifier: str
    platform: str


@dataclass(frozen=True)
class FetchBlobRequest:
    """A request to read one blob of an image from a registry, by the blob's digest."""

    place: RegistryPlace
    digest: str
