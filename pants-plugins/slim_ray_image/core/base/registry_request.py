"""Stage 1 of 6: requests of the programs that read a registry, and the names of the files that they write."""

from __future__ import annotations

from dataclasses import dataclass

MANIFEST = "manifest.json"
CONFIG = "config.json"
BLOB = "blob"


@dataclass(frozen=True)
class RegistryPlace:
    """A repository of a registry.

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
    """A request for the manifest and the config of an image for a platform.

    Attributes:
        identifier: A tag, or the digest of a manifest or an image index.
    """

    place: RegistryPlace
    identifier: str
    platform: str


@dataclass(frozen=True)
class FetchBlobRequest:
    """A request for one blob of an image, by its digest."""

    place: RegistryPlace
    digest: str
