"""Stage 3 of 6: collects facts of wheels, such as their modules, scripts and sizes.

In: wheels. Out: described.json, a row per wheel. A row depends only on the wheel and the image's Python, so it is the
same in every service. Format of metadata: https://packaging.python.org/en/latest/specifications/core-metadata/.
"""

from __future__ import annotations

import email
import posixpath
from dataclasses import dataclass, field
from typing import Iterable, Mapping

from installer.records import Hash
from packaging.utils import canonicalize_name

from slim_ray_image.core.folders import WHEELS
from slim_ray_image.core.image_paths import COMMAND_DIRECTORY, LINKED_SCRIPTS, SCRIPTS
from slim_ray_image.core.layers.exclude_files import outermost
from slim_ray_image.core.layers.prune_rules import divided_distributions, part_at, parts_of
from slim_ray_image.core.python.module_names import outermost_modules
from slim_ray_image.core.python.module_uses import find_uses
from slim_ray_image.core.wheels.needs import needs_of
from slim_ray_image.core.wheels.wheels import DescribeRequest, DescribeResult, WheelFacts
from slim_ray_image.sandbox.report import run_program, write_result
from slim_ray_image.sandbox.spool import sha256_of
from slim_ray_image.sandbox.wheels.wheel import Member, check_wheel, malformed, read_wheel

_RESULT = "described.json"


@dataclass
class _Files:
    """Hashes and sizes of a wheel's files, and names that its modules use, collected file by file.

    Attributes:
        hashes: Path in the image -> hash, as RECORD spells it.
        sizes: Path in the image -> size in bytes.
        uses: Dotted names below other distributions with parts that the wheel's modules use.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    uses: set[str] = field(default_factory=set)

    def visit(self, member: Member, packages: Iterable[str]) -> None:
        is_module = member.path.endswith(".py")
        # Always SHA-256: if two wheels contain one path, their hashes of that path are compared.
        has_hash = member.recorded is not None and member.recorded.name == "sha256"
        content = b"" if has_hash and not is_module else b"".join(member.chunks)
        recorded = member.recorded if has_hash else Hash("sha256", sha256_of(content))
        self.hashes[member.path] = str(recorded)
        self.sizes[member.path] = member.byte_count
        if is_module:
            self.uses.update(
                use for package in packages for use in find_uses(member.path, content, package)
            )


def _part_bytes(files: _Files, site_packages: str, name: str) -> dict[str, int]:
    """Map the name of each part of a distribution, such as Ray's Java JARs, to the part's size in bytes."""
    found: dict[str, int] = {}
    if not parts_of(name):
        return found
    for path, size in files.sizes.items():
        part = part_at(posixpath.relpath(path, site_packages), name)
        if part:
            found[part.name] = found.get(part.name, 0) + size
    return found


def _roots(paths: Iterable[str], scripts: Iterable[str], site_packages: str) -> tuple[str, ...]:
    """Return a distribution's paths in the image: its files and folders directly in site-packages, and files elsewhere.

    Links to its commands are included.
    """
    links = [f"{COMMAND_DIRECTORY}/{script}" for script in scripts if script in LINKED_SCRIPTS]
    return tuple(outermost([*paths, *links], site_packages))


def _describe(
    file: str, sha256: str, site_packages: str, environment: Mapping[str, str]
) -> WheelFacts:
    path = f"{WHEELS}/{file}"
    check_wheel(path, sha256)
    own = canonicalize_name(file.split("-")[0])
    packages = [package for package in divided_distributions() if package != own]
    files = _Files()
    layout = read_wheel(path, site_packages, lambda member: files.visit(member, packages))
    metadata = email.message_from_string(layout.metadata)
    if not metadata["Name"] or not metadata["Version"]:
        raise malformed(file, "METADATA has no Name, or no Version")
    name = canonicalize_name(metadata["Name"])
    prefix = f"{site_packages}/"
    scripts = sorted(posixpath.basename(p) for p in files.sizes if posixpath.dirname(p) == SCRIPTS)
    return WheelFacts(
        file=file,
        name=name,
        version=metadata["Version"],
        unpacked_bytes=sum(files.sizes.values()),
        file_count=len(files.sizes),
        needs=needs_of(
            metadata.get_all("Requires-Dist") or (),
            metadata.get_all("Provides-Extra") or (),
            environment,
        ),
        requires_python=metadata["Requires-Python"] or "",
        modules=tuple(
            outermost_modules(p[len(prefix) :] for p in files.sizes if p.startswith(prefix))
        ),
        scripts=tuple(scripts),
        part_bytes=_part_bytes(files, site_packages, name),
        roots=_roots([*files.sizes, layout.record], scripts, site_packages),
        uses=tuple(sorted(files.uses)),
        files=tuple(sorted(files.hashes.items())),
    )


def main(request: DescribeRequest) -> None:
    """Write described.json, with the facts of each wheel in the order of the request."""
    rows = (
        _describe(file, sha256, request.site_packages, request.marker_environment)
        for file, sha256 in request.wheels
    )
    write_result(_RESULT, DescribeResult(tuple(rows)))


if __name__ == "__main__":
    run_program(main, DescribeRequest)
