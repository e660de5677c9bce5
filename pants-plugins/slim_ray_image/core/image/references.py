"""References of images: in a registry, or, for `base_image`, in a local OCI image layout.

A reference has the grammar of the distribution project, `[registry/]repository[:tag][@digest]`:
https://github.com/distribution/reference/blob/v0.6.0/reference.go. A local layout is written `oci:PATH[:TAG]`, like in
skopeo, umoci and buildah.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Optional, Union

from slim_ray_image.core.errors import InvalidValueError

# The default registry of a reference that names none, and the host that serves its API.
DEFAULT_REGISTRY = "docker.io"
_DEFAULT_REGISTRY_HOST = "registry-1.docker.io"
LAYOUT_PREFIX = "oci:"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"\w[\w.-]{0,127}"
_REFERENCE = re.compile(
    r"(?:(?P<registry>localhost(?::\d+)?|[\w-]+(?:\.[\w-]+)+(?::\d+)?|[\w-]+:\d+|\[[0-9a-fA-F:]+\](?::\d+)?)/)?"
    rf"(?P<repository>{_REPOSITORY})"
    rf"(?::(?P<tag>{_TAG}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class RegistryReference:
    """An image in a registry. `text` is the reference as the user wrote it."""

    text: str
    registry: str
    repository: str
    tag: Optional[str]
    digest: Optional[str]

    @property
    def host(self) -> str:
        """The host (and port) that serves the registry's API."""
        return _DEFAULT_REGISTRY_HOST if self.registry == DEFAULT_REGISTRY else self.registry

    @property
    def is_loopback(self) -> bool:
        """Return whether the registry is on this machine, where plain HTTP is usual, also for Docker."""
        name = self.registry.rsplit(":", 1)[0] if not self.registry.endswith("]") else self.registry
        return name in ("localhost", "[::1]") or bool(re.fullmatch(r"127(\.\d+){3}", name))

    @property
    def full_name(self) -> str:
        """The image's name as containerd spells it, with the default registry and tag filled in."""
        return f"{self.registry}/{self.repository}:{self.tag or 'latest'}"

    @property
    def identifier(self) -> str:
        """The name of the manifest in the registry's API: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"


@dataclass(frozen=True)
class LayoutReference:
    """An image in a local OCI image layout; `path` is absolute or relative to the build root."""

    text: str
    path: str
    tag: Optional[str]


def is_repository(text: str) -> bool:
    """Return whether `text` is a valid name of an image repository, without a registry before it."""
    return bool(re.fullmatch(_REPOSITORY, text, re.ASCII))


def is_tag(text: str) -> bool:
    return bool(re.fullmatch(_TAG, text, re.ASCII))


ImageReference = Union[RegistryReference, LayoutReference]


def parse_image_reference(text: str) -> ImageReference:
    """Return the parts of an image reference, to an image in a registry or in a local OCI image layout.

    Raises:
        InvalidValueError: If `text` is neither a registry reference nor `oci:PATH[:TAG]`.
    """
    if text.startswith(LAYOUT_PREFIX):
        path, _, tag = text[len(LAYOUT_PREFIX) :].partition(":")
        if path:
            return LayoutReference(text, path, tag or None)
    else:
        match = _REFERENCE.fullmatch(text)
        if match:
            registry = match["registry"] or DEFAULT_REGISTRY
            repository = match["repository"]
            if registry == DEFAULT_REGISTRY and "/" not in repository:
                repository = f"library/{repository}"
            return RegistryReference(text, registry, repository, match["tag"], match["digest"])
    raise InvalidValueError(
        f"must be an image reference or a local OCI image layout, but was {text!r}.",
        fixes=[
            "name an image in a registry, such as 'python:3.10-slim' or "
            "'registry.example.com/base/python@sha256:<64 hex digits>'",
            "name a local OCI image layout by its folder and tag, such as 'oci:3rdparty/oci/base:3.10-slim'",
        ],
    )


@dataclass(frozen=True)
class Source:
    """The place to read a base image from, and the digest that the image must have.

    Attributes:
        text: A reference in a registry, or a local layout.
        digest: For a local layout, the digest in the reference that the layout stands for, if it has one.
    """

    text: str
    digest: Optional[str] = None


def source_of(reference: str, sources: Mapping[str, str]) -> Source:
    """Return the place to read a base image from: the one that `sources` has for its reference, else the reference.

    A reference with a digest also matches the entry without the digest, so that a pin needs no second entry. The image
    from that source must have the digest.

    Args:
        reference: Value of the field `base_image`, which is valid, or of the option `[slim-ray].default_base_image`.
        sources: The option `[slim-ray].base_image_sources`, reference -> source.

    Raises:
        SlimRayImageError: If the option that the source comes from is not valid.
    """
    source = _mapped(reference, sources)
    option = "default_base_image" if source.text == reference else "base_image_sources"
    try:
        parse_image_reference(source.text)
    except InvalidValueError as error:
        raise error.of(f"The option `[slim-ray].{option}`") from error
    return source


def _mapped(reference: str, sources: Mapping[str, str]) -> Source:
    name, _, digest = reference.partition("@")
    if reference in sources:
        return Source(sources[reference])
    if not digest or name not in sources:
        return Source(reference)
    source = sources[name]
    if source.startswith(LAYOUT_PREFIX):
        return Source(source, digest)
    return Source(f"{source.partition('@')[0]}@{digest}")
