"""The options of `[slim-ray]`."""

from __future__ import annotations

from pants.option.option_types import BoolOption, DictOption, StrListOption, StrOption
from pants.option.subsystem import Subsystem
from pants.util.strutil import softwrap

from slim_ray_image.core.check.shared_libraries import NODE_LIBRARIES


class SlimRayImageSubsystem(Subsystem):
    options_scope = "slim-ray"
    help = softwrap(
        """
        Options of the `slim_ray_image` target, which turns one Ray service into a minimal OCI image.
        """
    )

    default_base_image = StrOption(
        default="python:3.10-slim",
        help=softwrap(
            """
            The base image of a `slim_ray_image` target that does not set `base_image`: a reference to an image in a
            registry, by tag or digest, or a local OCI image layout as `oci:PATH[:TAG]`.
            """
        ),
    )
    base_image_sources = DictOption[str](
        help=softwrap(
            """
            Where to read base images from instead: a mapping from a reference, as targets name it, to another
            reference or to a local OCI image layout (`oci:PATH[:TAG]`). For mirrors, and for machines that reach no
            registry. The image is still named by the reference that the target has. A reference with a digest is
            looked for as a whole, then without the digest; what is read then must have it.

            For example, `{"python:3.10-slim": "mirror.example.com/library/python:3.10-slim"}`, or
            `{"python:3.10-slim": "oci:/srv/base-images/python:3.10-slim"}`.
            """
        ),
    )
    insecure_registries = StrListOption(
        help=softwrap(
            """
            Registries, as `host:port`, that are read over plain HTTP. Those on this machine (`localhost`, `127.*`)
            always are.
            """
        ),
    )
    warn_unpinned_base = BoolOption(
        default=True,
        help=softwrap(
            """
            Whether to warn when a base image is named by a tag alone, so that an image can change while the repository
            does not.
            """
        ),
    )
    warn_end_of_life = BoolOption(
        default=True,
        help=softwrap(
            """
            Whether to warn when the Python of a base image is past its end of life.
            """
        ),
    )
    host_built_distributions = StrListOption(
        help=softwrap(
            """
            Distributions, by name, that may be built on this machine, against its libraries, because they have no
            wheel for the image. One that is locked is built by Pants' own PEX rules, with a Python
            of this machine of the base's minor version. What is built can differ from machine to machine, and need a
            newer glibc than the base has: prefer versions that have wheels.
            """
        ),
    )
    skip_check = BoolOption(
        default=False,
        help="Whether `pants check` leaves all `slim_ray_image` targets out.",
    )
    node_libraries = StrListOption(
        default=list(NODE_LIBRARIES),
        help=softwrap(
            """
            Shared libraries, as patterns of file names, that `pants check` does not expect in an image, because the
            nodes of the cluster bring them into containers: by default those of NVIDIA's driver.
            """
        ),
    )
    run_args = StrListOption(
        default=["--rm", "--shm-size=1g"],
        help=softwrap(
            """
            Arguments to give to `docker run` when `pants run` runs an image, before those that map its ports.
            Ray wants shared memory, of which Docker's default is 64 MB. `1g` suits small machines; Ray wants 30 % of
            the memory, and where it has less it warns and takes the disk, /tmp, instead.
            """
        ),
    )
    outputs = StrListOption(
        default=["layout"],
        help=softwrap(
            """
            What `pants package` writes for a `slim_ray_image` that does not set `outputs`: see that field.
            """
        ),
    )
    smoke_test = BoolOption(
        default=False,
        help=softwrap(
            """
            Whether `pants test` runs each `slim_ray_image` that does not set `smoke_test` in Docker: see that field.
            """
        ),
    )
    prune = StrListOption(
        default=["default"],
        help=softwrap(
            """
            What the images of targets that do not set `prune` leave out of their distributions: see that field.
            """
        ),
    )
    tailor = BoolOption(
        default=True,
        help=softwrap(
            """
            Whether `pants tailor` adds a `slim_ray_image` beside a Python file that binds a Ray Serve application: that
            imports `ray.serve` and has `NAME = X.bind(...)` at its top level. Of several names it takes `app`, else
            the last. Tests, and modules that a target's `serve_app` or `serve_config` already names, are left out.
            """
        ),
        advanced=True,
    )
