"""Stage 1 of 6: which image of a local OCI image layout is the base.

In: index.json, the image indexes that it points at, and what the base is named by. Out: the manifest's descriptor.
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
    """What a base in a layout is named by.

    Attributes:
        reference: The base's name, as the target has it.
        layout: Where it is read from.
        digest: What it must be, of its manifest or its image index; None where any will do.
    """

    reference: str
    layout: LayoutReference
    platform: Platform
    digest: Optional[str]


def unreadable_error(layout: LayoutReference, problem: str) -> SlimRayImageError:
    """Return the error for a folder whose index.json cannot be read."""
    return SlimRayImageError(
        f"The base image {layout.text} is not a readable OCI image layout.",
        evidence=[f"index.json: {problem}"],
        fixes=[
            "make the layout, as with `skopeo copy docker://python:3.10-slim oci:FOLDER:3.10-slim`",
            "correct the path; a relative one starts at the build root",
        ],
    )


def parse_layout_index(layout: LayoutReference, content: bytes) -> tuple[IndexEntry, ...]:
    """Return the entries of index.json.

    Raises:
        SlimRayImageError: If it is no such file.
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
    """Return the entries of index.json that have the tag, where one is named, and the digest, where one has it.

    Raises:
        SlimRayImageError: If none has the tag.
    """
    tag = query.layout.tag
    tagged = tuple(entry for entry in entries if not tag or entry.tag == tag)
    if not tagged:
        raise SlimRayImageError(
            f"The base image {query.layout.text} was not found.",
            evidence=_describe_tags(entries) or ["the layout has no tags"],
            fixes=["name one of the layout's tags after its path, or none where it has none"],
        )
    pinned = tuple(entry for entry in tagged if entry.descriptor.digest == query.digest)
    return pinned or tagged


def _not_pinned(query: LayoutQuery, digests: Iterable[str]) -> SlimRayImageError:
    return SlimRayImageError(
        f"The base image {query.reference} is not what {query.layout.text}, which `[slim-ray].base_image_sources` maps "
        "its tag to, has.",
        evidence=sorted(f"the layout has {digest}" for digest in set(digests)),
        fixes=[
            "make the layout anew from that digest",
            "pin a digest that the layout has",
            f"map {query.reference!r} as a whole, to build on what the layout has anyway",
        ],
    )


def _for_platform(
    platform: Platform, indexes: Mapping[IndexEntry, Sequence[IndexEntry]]
) -> set[Descriptor]:
    """Return the images for the platform, or else those that do not say what they are for: their config does."""
    found = (image_of(entries, platform) for entries in indexes.values())
    return {descriptor for descriptor in found if descriptor} or {
        entry.descriptor for entry in indexes if not entry.platform and not entry.is_index
    }


def select_image(
    query: LayoutQuery, indexes: Mapping[IndexEntry, Sequence[IndexEntry]]
) -> Descriptor:
    """Return the descriptor of the base's manifest.

    Args:
        indexes: Each named entry -> the entries of the index that it points at; of a manifest, itself.

    Raises:
        SlimRayImageError: If there is none or more than one, or if it is not what it must be.
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
            f"The base image {query.layout.text} is one of several for {query.platform} in the layout.",
            evidence=_describe_tags(indexes),
            fixes=["name one of the layout's tags after its path"],
        )
    if not candidates:
        entries = [entry for entries in indexes.values() for entry in entries]
        raise platform_error(query.layout.text, query.platform, entries)
    return candidates.pop()
