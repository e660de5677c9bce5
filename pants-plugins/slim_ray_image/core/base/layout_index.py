"""Stage 1 of 6: selection of the base image in a local OCI image layout.

In: index.json, the image indexes that it points at, and the query for the base. Out: the manifest's descriptor.
Specification: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md ("index.json").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Iterable, Mapping, Optional, Sequence

from slim_ray_image.core.base.base_manifest import IndexEntry, image_of, platform_error
from slim_ray_image.core.errors import SlimRayImageError
from slim_ray_image.core.image.oci import Descriptor
from slim_ray_image.core.image.references import LayoutReference
from slim_ray_image.core.platforms import Platform


@dataclass(frozen=True)
class LayoutQuery:
    """A query for a base image in a local OCI image layout, by platform, tag and digest.

    Attributes:
        reference: Reference of the base image in the target.
        layout: The layout to read.
        platform: The platform to select.
        digest: Digest that the base's manifest or image index must have; None if any digest is accepted.
    """

    reference: str
    layout: LayoutReference
    platform: Platform
    digest: Optional[str]


def unreadable_error(layout: LayoutReference, problem: str) -> SlimRayImageError:
    """Return the error for a local OCI image layout whose index.json cannot be read."""
    return SlimRayImageError(
        f"The base image {layout.text} is not a readable OCI image layout.",
        evidence=[f"index.json: {problem}"],
        fixes=[
            "make the layout, for example with `skopeo copy docker://python:3.10-slim oci:FOLDER:3.10-slim`",
            "correct the path; a relative path starts at the build root",
        ],
    )


def parse_layout_index(layout: LayoutReference, content: bytes) -> tuple[IndexEntry, ...]:
    """Return the manifests and image indexes that index.json of a local OCI image layout lists.

    Raises:
        SlimRayImageError: If `content` is not a valid index.json.
    """
    try:
        index = json.loads(content)
        if not isinstance(index, dict) or not isinstance(index.get("manifests"), list):
            raise ValueError("it has no manifests")
        return tuple(map(IndexEntry.from_json, index["manifests"]))
    except KeyError as error:
        raise unreadable_error(layout, f"it lacks {error}") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise unreadable_error(layout, str(error)) from error


def _describe_tags(entries: Iterable[IndexEntry]) -> list[str]:
    tags = {entry.tag for entry in entries if entry.tag}
    return [f"the layout has the tag {tag!r}" for tag in sorted(tags)]


def named_entries(query: LayoutQuery, entries: Sequence[IndexEntry]) -> tuple[IndexEntry, ...]:
    """Return the entries of a layout's index.json that match a query for a base image, by tag and digest.

    If the query has a tag, only entries with that tag match. If one of these has the query's digest, only entries with
    the digest match.

    Raises:
        SlimRayImageError: If no entry has the tag.
    """
    tag = query.layout.tag
    tagged = tuple(entry for entry in entries if not tag or entry.tag == tag)
    if not tagged:
        raise SlimRayImageError(
            f"The base image {query.layout.text} was not found.",
            evidence=_describe_tags(entries) or ["the layout has no tags"],
            fixes=["append one of the layout's tags to the path, or no tag if the layout has none"],
        )
    pinned = tuple(entry for entry in tagged if entry.descriptor.digest == query.digest)
    return pinned or tagged


def _not_pinned(query: LayoutQuery, digests: Iterable[str]) -> SlimRayImageError:
    return SlimRayImageError(
        f"The base image {query.reference} is not in {query.layout.text}, to which "
        "`[slim-ray].base_image_sources` maps its tag.",
        evidence=sorted(f"the layout has {digest}" for digest in set(digests)),
        fixes=[
            "make the layout again, from that digest",
            "pin a digest that the layout has",
            f"map {query.reference!r} as a whole, to build on the layout's image whatever its digest",
        ],
    )


def _for_platform(
    platform: Platform, indexes: Mapping[IndexEntry, Sequence[IndexEntry]]
) -> set[Descriptor]:
    """Return the manifests for a platform or, if there are none, those whose platform index.json does not name."""
    found = (image_of(entries, platform) for entries in indexes.values())
    return {descriptor for descriptor in found if descriptor} or {
        entry.descriptor for entry in indexes if not entry.platform and not entry.is_index
    }


def select_image(
    query: LayoutQuery, indexes: Mapping[IndexEntry, Sequence[IndexEntry]]
) -> Descriptor:
    """Return the descriptor of the one manifest in a local OCI image layout that matches the query for a base image.

    Args:
        indexes: Each entry of `named_entries` -> the entries of the image index that it points at, or the entry itself
            if it points at a manifest.

    Raises:
        SlimRayImageError: If no image or more than one matches, or if none has the digest of the query.
    """
    candidates = _for_platform(query.platform, indexes)
    digests = {
        *(entry.descriptor.digest for entry in indexes),
        *(candidate.digest for candidate in candidates),
    }
    if query.digest and query.digest not in digests:
        raise _not_pinned(query, digests)
    if len(candidates) > 1:
        raise SlimRayImageError(
            f"The base image {query.layout.text} matches several images for {query.platform} in the layout.",
            evidence=_describe_tags(indexes),
            fixes=["append one of the layout's tags to the path"],
        )
    if not candidates:
        entries = [entry for entries in indexes.values() for entry in entries]
        raise platform_error(query.layout.text, query.platform, entries)
    return candidates.pop()
