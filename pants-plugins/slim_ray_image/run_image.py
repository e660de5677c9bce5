"""Stage 6 of 6: `pants run` loads the image into the local Docker and runs it.

`docker load` loads the image from the same files that `pants package` writes; nothing is rebuilt. Docker then runs the
image in the foreground: it streams the service's logs, and Ctrl-C reaches the service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable, Sequence

from pants.core.goals.run import RunFieldSet, RunInSandboxBehavior, RunRequest
from pants.engine.addresses import Address
from pants.engine.fs import AddPrefix, CreateDigest, FileContent, MergeDigests
from pants.engine.rules import collect_rules

from slim_ray_image.build_image import BuildImageRequest, build_image
from slim_ray_image.compat import (
    add_prefix,
    concurrently,
    create_digest,
    implicitly,
    merge_digests,
    rule,
)
from slim_ray_image.core.check.smoke_test import IMAGE_FOLDER
from slim_ray_image.core.image.oci import Image
from slim_ray_image.field_sets import SlimRayImageFieldSet
from slim_ray_image.outputs import archive_folder
from slim_ray_image.subsystem import SlimRayImageSubsystem
from slim_ray_image.tools import (
    HostPythonRequest,
    ProgramRequest,
    find_host_python,
    load_program,
)

_PROGRAM = "smoke.run_image"
# Starts the program from the folder that it is in, which Python looks for modules in.
_SCRIPT = FileContent(
    "run_image.py",
    f"""\
import sys

from slim_ray_image.sandbox.{_PROGRAM} import main

main(*sys.argv[1:])
""".encode(),
)


@dataclass(frozen=True)
class RunSlimRayImageFieldSet(SlimRayImageFieldSet, RunFieldSet):
    """The fields of a target that `pants run` reads: those of `pants package`, because it runs the same image."""

    run_in_sandbox_behavior = RunInSandboxBehavior.NOT_SUPPORTED


def local_reference(address_path: str, image: Image) -> str:
    """Return the image's name in the local Docker: its target's address, and the start of its digest as the tag."""
    parts = (
        re.sub("[^a-z0-9]+", lambda match: match[0] if match[0] in [*"._-"] else "-", part)
        for part in address_path.lower().split("/")
    )
    parts = (part.strip("._-") for part in parts)
    repository = "/".join(part for part in parts if part) or "image"
    return f"slim-ray-image.local/{repository}:{image.manifest_descriptor.hex[:12]}"


def address_path(address: Address) -> str:
    """Return the target's folder and name, with its generated name and its `parametrize` parameters, if any."""
    generated = f"/{address.generated_name}" if address.generated_name else ""
    return f"{address.spec_path}/{address.target_name}{generated}{address.parameters_repr}"


def _port_arguments(ports: Sequence[int]) -> list[str]:
    """Return the arguments of `docker run` that map each port of the container to the same port of 127.0.0.1."""
    return [argument for port in ports for argument in ("--publish", f"127.0.0.1:{port}:{port}")]


@rule(desc="Prepare to run a slim_ray_image")
async def run_slim_ray_image(
    field_set: RunSlimRayImageFieldSet, subsystem: SlimRayImageSubsystem
) -> RunRequest:
    """Return the command of `pants run`: arguments after `--` replace the image's `Cmd`, as for `docker run`."""
    built = await build_image(BuildImageRequest(field_set), **implicitly())
    reference = local_reference(address_path(field_set.address), built.image)
    archive, script, program, python = await concurrently(
        archive_folder(built.image, [reference], built.blobs_tree),
        create_digest(CreateDigest([_SCRIPT])),
        load_program(ProgramRequest(_PROGRAM), **implicitly()),
        find_host_python(HostPythonRequest(), **implicitly()),
    )
    image = await add_prefix(AddPrefix(archive, IMAGE_FOLDER))
    return RunRequest(
        digest=await merge_digests(MergeDigests([image, script, program.tree])),
        args=(
            *(python.path, "-B", "-E", "-s", "-S", f"{{chroot}}/{_SCRIPT.path}"),
            *(f"{{chroot}}/{IMAGE_FOLDER}", reference),
            *subsystem.run_args,
            *_port_arguments(built.ports),
            reference,
        ),
    )


def rules() -> Iterable[Any]:
    return [*collect_rules(), *RunSlimRayImageFieldSet.rules()]
