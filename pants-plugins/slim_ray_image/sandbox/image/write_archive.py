"""Stage 6 of 6: writes an image as one file, for `docker load` and similar programs.

In: the names of files, and the files. Out: image.tar, with equal bytes for equal files: entries are sorted, each folder
comes before its content, owners are numbers, and all entries have one time. Files are copied in blocks; none is in
memory as a whole.
"""

from __future__ import annotations

import os
import tarfile
from typing import Sequence

from slim_ray_image.core.image.archive import RESULT, ArchiveFilesRequest
from slim_ray_image.core.image_paths import parents
from slim_ray_image.sandbox.report import run_program

_COPIED_BYTES = 1 << 20  # at a time


def write_archive(paths: Sequence[str], archive_path: str) -> None:
    """Write a tar archive of the files at `paths`, relative to the working directory, and of their folders."""
    folders = {folder for path in paths for folder in parents(path)}
    with tarfile.TarFile(
        archive_path, "w", format=tarfile.PAX_FORMAT, copybufsize=_COPIED_BYTES
    ) as archive:
        for path in sorted({*paths, *folders}):
            entry = tarfile.TarInfo(path)
            if path in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
                continue
            with open(path, "rb") as file:
                entry.size = os.fstat(file.fileno()).st_size
                archive.addfile(entry, file)


def main(request: ArchiveFilesRequest) -> None:
    write_archive(request.files, RESULT)


if __name__ == "__main__":
    run_program(main, ArchiveFilesRequest)
