"""Stage 3 of 6, first half: select the distributions that the image needs, and their wheels, from the lockfile.

In: the resolve's lockfile, the closure's requirement strings, the platform. Out: wheels.json, the wheels, whose names,
versions and hashes all come from the lock. If distributions of a pip-style lock have no wheel and may be built on this
machine, also built.txt, their hashed requirements `name==version --hash=...`.

`pip_lock` and `pex_lock` read the two formats of lockfiles.
"""

from __future__ import annotations

from slim_ray_image.core.wheels.lockfiles import format_fixes, pex_lock_text, toml_lock_tool
from slim_ray_image.core.wheels.subset import SubsetRequest
from slim_ray_image.sandbox.report import run_program, write_result, write_whole
from slim_ray_image.sandbox.wheels.locked_subset import (
    NOTHING,
    LockedSubset,
    check_requirements,
    unreadable_error,
)
from slim_ray_image.sandbox.wheels.pex_lock import subset_of_pex_lock
from slim_ray_image.sandbox.wheels.pip_lock import subset_of_pip_lock


def _read(request: SubsetRequest) -> str:
    with open(request.lockfile, encoding="utf-8", errors="replace") as file:
        return file.read()


def _find_subset(request: SubsetRequest) -> LockedSubset:
    text = _read(request)
    pex_lock = pex_lock_text(text)
    if pex_lock is not None:
        return subset_of_pex_lock(pex_lock, request)
    tool = toml_lock_tool(text)
    if tool:
        raise unreadable_error(
            request,
            f"was written by {tool}; slim_ray_image reads lockfiles of Pex and requirements with hashes",
            format_fixes(tool, request.lockfile_path),
        )
    return subset_of_pip_lock(request)


def main(request: SubsetRequest) -> None:
    """Write wheels.json, with the wheels, and built.txt if distributions of a pip-style lockfile have to be built."""
    check_requirements(request)
    # For no requirements at all, the tools would return the whole lock.
    subset = _find_subset(request) if request.requirements else NOTHING
    if subset.built:
        lines = (
            f"{name}=={version} {' '.join(f'--hash={value}' for value in hashes)}\n"
            for name, (version, hashes) in sorted(subset.built.items())
        )
        write_whole("built.txt", "".join(lines))
    write_result("wheels.json", subset.wheels)


if __name__ == "__main__":
    run_program(main, SubsetRequest)
