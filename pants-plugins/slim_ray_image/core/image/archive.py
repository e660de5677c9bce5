"""Stage 6 of 6: the request to the program that writes an image as one file."""

from __future__ import annotations

from dataclasses import dataclass

RESULT = "image.tar"


@dataclass(frozen=True)
class ArchiveFilesRequest:
    """A request to write files of a sandbox into one archive, under the same paths.

    Attributes:
        files: Paths, the same in the sandbox and in the archive, sorted.
    """

    files: tuple[str, ...]
