"""Fetch one blob of an image from its registry.

In: the address of the registry, and the blob's digest. Out: the file `blob`, which has that digest.
"""

from __future__ import annotations

from slim_ray_image.core.base.registry_request import BLOB, FetchBlobRequest
from slim_ray_image.sandbox.base.registry_client import connect
from slim_ray_image.sandbox.report import run_program


def main(request: FetchBlobRequest) -> None:
    """Fetch the requested blob from its image registry into the file `blob`."""
    with connect(request.place) as registry, open(BLOB, "wb") as file:
        for chunk in registry.read_blob(request.digest):
            file.write(chunk)


if __name__ == "__main__":
    run_program(main, FetchBlobRequest)
