"""Stage 1 of 6: what the programs that read a registry are told, and the files that they write."""

from __future__ import annotations

from dataclasses import dataclass

MANIFEST = "manifest.json"
CONFIG = "config.json"
BLOB = "blob"


@dataclass(frozen=True)
class RegistryPlace:
    """Repository of an image in a registry.

    Attributes:
        reference: The image's name, for messages.
        host: The registry's, with its port.
        certificates: A CA bundle in the sandbox, or "".
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
