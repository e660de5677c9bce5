"""Names of a platform in OCI, glibc and uv. Today there is one, linux/amd64; other modules pass it on as a value."""

from __future__ import annotations

from dataclasses import dataclass

from slim_ray_image.core.errors import InvalidValueError, SlimRayImageError


@dataclass(frozen=True)
class Platform:
    """An OCI platform, such as linux/amd64, with the machine name that uv uses and the path of glibc's loader.

    Spec: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md ("platform").
    """

    os: str
    architecture: str
    machine: str  # the name that uv and `uname -m` use
    loader: str  # program interpreter of executables for glibc (ELF PT_INTERP)

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"


LINUX_AMD64 = Platform("linux", "amd64", "x86_64", "/lib64/ld-linux-x86-64.so.2")
PLATFORMS = {str(platform): platform for platform in (LINUX_AMD64,)}

# The newest glibc for which the locked uv has a platform name. Wheels for this glibc run on every newer one.
_NEWEST_GLIBC_OF_UV = (2, 40)
_OLDEST_GLIBC_OF_UV = (2, 28)


def parse_platform(text: str) -> Platform:
    """Return the platform called `text`, such as "linux/amd64".

    Raises:
        InvalidValueError: If images cannot be built for `text`.
    """
    if text not in PLATFORMS:
        raise InvalidValueError(
            f"must be one of {', '.join(map(repr, sorted(PLATFORMS)))}, but was {text!r}.",
            fixes=["use 'linux/amd64', the one platform that this version builds for"],
        )
    return PLATFORMS[text]


def uv_python_platform(platform: Platform, glibc: str) -> str:
    """Return uv's `--python-platform` for a base image with a version of glibc, such as "2.36".

    Raises:
        SlimRayImageError: If glibc is older than uv, and nearly every wheel, supports.
    """
    major, minor = (int(part) for part in glibc.split(".")[:2])
    if (major, minor) < _OLDEST_GLIBC_OF_UV:
        raise SlimRayImageError(
            f"The base image has glibc {glibc}, older than the 2.28 that wheels of today are built for.",
            fixes=["use a base image of Debian 10, RHEL 8 or newer"],
        )
    major, minor = min((major, minor), _NEWEST_GLIBC_OF_UV)
    if (major, minor) < (2, 31):
        major, minor = _OLDEST_GLIBC_OF_UV
    return f"{platform.machine}-manylinux_{major}_{minor}"
