"""Unpacks the files that one layer has below a folder, for `pants check`.

In: the blob of a layer, and the folder's absolute path in the image. Out: `files/`, the regular files below the folder,
by their paths relative to the folder. Links are omitted: ours lead to the base's interpreter, or are for people.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import tarfile

from slim_ray_image.core.check.layer_contents import UNPACKED, UnpackRequest
from slim_ray_image.core.image.root_filesystem import absolute
from slim_ray_image.sandbox.report import run_program


def main(request: UnpackRequest) -> None:
    """Unpack the layer's regular files below the requested folder into `files/`."""
    os.makedirs(UNPACKED)
    with tarfile.open(request.blob) as layer:
        for info in layer:
            path = absolute(info.name)
            if not info.isreg() or not path.startswith(f"{request.folder}/"):
                continue
            target = posixpath.join(UNPACKED, posixpath.relpath(path, request.folder))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            file = layer.extractfile(info)
            assert file is not None, path
            with open(target, "wb") as copy:
                shutil.copyfileobj(file, copy)
            os.chmod(target, 0o755 if info.mode & stat.S_IXUSR else 0o644)


if __name__ == "__main__":
    run_program(main, UnpackRequest)
