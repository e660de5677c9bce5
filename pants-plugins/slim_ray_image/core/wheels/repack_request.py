"""Stage 3 of 6: what the program is told that makes wheels of what was built on this machine."""

from __future__ import annotations

from dataclasses import dataclass

# The folder of the wheels that it writes.
BUILT = "built"


@dataclass(frozen=True)
class RepackRequest:
    """A request for wheels of what Pants' own PEX rules built.

    Attributes:
        pex: A PEX of layout `packed`, in the sandbox.
        names: Canonical, of what was to be built; the PEX may hold more.
        address: Who requires it, for errors.
        base: Its name, for errors.
        host_built: Canonical names of what may be built on this machine.
        lockfile_path: In the repository, for errors.
        python_minor: Of the base, as "3.10".
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
