"""The options of the plugin, in the section `[slim-ray]` of Pants' configuration."""

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
            Other sources to read base images from, for mirrors and for machines without access to a registry: a
            mapping from a reference, as targets name it, to another reference or to a local OCI image layout
            (`oci:PATH[:TAG]`). image.json and messages still name the base by the target's reference. A reference with
            a digest is looked up as a whole, then without the digest; in the second case the image that is read must
            have this digest.

            For example, `{"python:3.10-slim": "mirror.example.com/library/python:3.10-slim"}`, or
            `{"python:3.10-slim": "oci:/srv/base-images/python:3.10-slim"}`.
            """
        ),
    )
    insecure_registries = StrListOption(
        help=softwrap(
            """
            Registries, as `host:port`, to read over plain HTTP. Registries on this machine (`localhost`, `127.*`) are
            always read over plain HTTP.
            """
        ),
    )
    warn_unpinned_base = BoolOption(
        default=True,
        help=softwrap(
            """
            Whether to warn about a base image that is named by a tag only, because an image on it can change while the
            repository does not.
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
            Names of distributions without a wheel for the image that may be built on this machine, against its
            libraries. Pants' own PEX rules build a locked distribution, with a Python of this machine that has the
            base's minor version. The result can differ from machine to machine, and can need a newer glibc than the
            base has: prefer versions that have wheels.
            """
        ),
    )
    skip_check = BoolOption(
        default=False,
        help="Whether `pants check` skips all `slim_ray_image` targets.",
    )
    node_libraries = StrListOption(
        default=list(NODE_LIBRARIES),
        help=softwrap(
            """
            Shared libraries, as patterns of file names, that `pants check` does not expect in an image, because the
            nodes of the cluster provide them to containers. The default lists the libraries of NVIDIA's driver.
            """
        ),
    )
    run_args = StrListOption(
        default=["--rm", "--shm-size=1g"],
        help=softwrap(
            """
            Arguments of `docker run` when `pants run` runs an image, before the arguments that map its ports. Ray wants
            30 % of the memory as shared memory; if there is less, Ray warns and uses the disk (/tmp) instead. Docker's
            default is 64 MB; `1g` suits small machines.
            """
        ),
    )
    outputs = StrListOption(
        default=["layout"],
        help=softwrap(
            """
            The `outputs` of each `slim_ray_image` that does not set this field; see `pants help slim_ray_image`.
            """
        ),
    )
    smoke_test = BoolOption(
        default=False,
        help=softwrap(
            """
            The `smoke_test` of each `slim_ray_image` that does not set this field; see `pants help slim_ray_image`.
            """
        ),
    )
    prune = StrListOption(
        default=["default"],
        help=softwrap(
            """
            The `prune` of each `slim_ray_image` that does not set this field; see `pants help slim_ray_image`.
            """
        ),
    )
    tailor = BoolOption(
        default=True,
        help=softwrap(
            """
            Whether `pants tailor` adds a `slim_ray_image` beside a Python file that binds a Ray Serve application: a
            file that imports `ray.serve` and has `NAME = X.bind(...)` at its top level. If there are several names,
            `serve_app` gets `app`, or else the last name. Tests, and modules that a target's `serve_app` or
            `serve_config` already names, are skipped.
            """
        ),
        advanced=True,
    )
