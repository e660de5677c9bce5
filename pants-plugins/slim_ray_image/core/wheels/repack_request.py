"""Stage 3 of 6: input of the program that makes wheels from distributions that were built on this machine."""

from __future__ import annotations

from dataclasses import dataclass

# Folder that the program writes the wheels to.
BUILT = "built"


@dataclass(frozen=True)
class RepackRequest:
    """Input of the program that makes wheels of distributions that Pants has built on this machine and packed in a PEX.

    Attributes:
        pex: Path in the sandbox of a PEX of layout `packed`.
        names: Canonical names of the distributions to make wheels of; the PEX may contain more.
        address: Address of the target that requires the distributions, for errors.
        base: Reference of the base image, for errors.
        host_built: Canonical names of the distributions that may be built on this machine.
        lockfile_path: Path of the lockfile in the repository, for errors.
        platform: Platform of the image, such as "linux/amd64".
        glibc: Version of the base's glibc, such as "2.36".
        python_minor: Minor version of the base's Python, such as "3.10".
    """

    pex: str
    names: tuple[str, ...]
    address: str
    base: str
    host_built: tuple[str, ...]
    lockfile_path: str
    platform: str
    glibc: str
    python_minor: str
