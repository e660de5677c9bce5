"""The alternatives in the benchmarks: images by the hand-written Dockerfiles of this folder.

They install the same distributions as our image, with the lock's hashes, or the whole lock of the repository, like one
list for all services; and they copy the same files. The base, and uv for the Dockerfile that needs it, are in Docker
before anything is measured, as in a mirror.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checkouts import REPOSITORY, Checkout

# The newer client that some machines have first on PATH lacks BuildKit.
DOCKER = shutil.which("docker", path=f"/usr/bin:{os.environ['PATH']}") or "docker"
BASE_IN_DOCKER = "slim-ray-image.local/benchmark-base:latest"
PIP = "essentials_dockerfile/Dockerfile"
UV = "uv_dockerfile/Dockerfile"
_UV_IN_DOCKER = "slim-ray-image.local/benchmark-uv:latest"
_UV_LOCK = "pants-plugins/slim_ray_image/locks/uv_executable.lock"
_LOCK = "3rdparty/python/ray.lock"


def load(layout: str, name: str) -> None:
    """Load an OCI image layout, named oci:FOLDER:TAG, into Docker; skopeo itself does not read DOCKER_HOST."""
    host = os.environ.get("DOCKER_HOST")
    options = ["--dest-daemon-host", host] if host else []
    subprocess.run(
        ["skopeo", "copy", "--quiet", *options, layout, f"docker-daemon:{name}"], check=True
    )


def load_base(layout: str) -> None:
    """Load the base image into Docker."""
    load(layout, BASE_IN_DOCKER)


def load_uv() -> None:
    """Build an image with the uv that our own build uses, in Docker, which must have the base."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(REPOSITORY / _UV_LOCK, Path(folder, "uv.lock"))
        shutil.copy(
            REPOSITORY / "benchmarks/uv_dockerfile/uv.Dockerfile", Path(folder, "Dockerfile")
        )
        _copy_certificates(Path(folder))
        _build(folder, _UV_IN_DOCKER)


def docker_build(
    checkout: Checkout,
    target: str,
    name: str,
    *arguments: str,
    dockerfile: str = PIP,
    whole_lock: bool = False,
    uv_cache: str = "",
) -> float:
    """Build the image `name` with the contents of the packaged `target`, and return the seconds of `docker build`.

    `uv_cache` names the cache that uv keeps from build to build; without a name, uv keeps no cache.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_context(Path(folder), checkout, target, whole_lock)
        text = _dockerfile(dockerfile, target, uv_cache)
        Path(folder, "Dockerfile").write_text(text)
        start = time.monotonic()
        _build(folder, name, "--build-arg", f"UV={_UV_IN_DOCKER}", *arguments)
        return time.monotonic() - start


def _build(context: str, name: str, *arguments: str) -> None:
    run = subprocess.run(
        [
            *(DOCKER, "build", "--network", "host", "--quiet", *arguments, *_index_arguments()),
            *("--build-arg", f"BASE={BASE_IN_DOCKER}", "--tag", name, context),
        ],
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    if run.returncode != 0:
        sys.exit(f"docker build of {name} failed:\n{run.stderr}")


def _index_arguments() -> list[str]:
    """Return build arguments with the package index of the environment, for pip and for uv; none without an index."""
    index = os.environ.get("PIP_INDEX_URL")
    if not index:
        return []
    return ["--build-arg", f"PIP_INDEX_URL={index}", "--build-arg", f"UV_DEFAULT_INDEX={index}"]


def _dockerfile(name: str, target: str, uv_cache: str) -> str:
    """Return the text of a Dockerfile, for the application of `target`."""
    application = target.partition(":")[0].replace("src/", "").replace("/", ".")
    text = (REPOSITORY / "benchmarks" / name).read_text()
    text = text.replace("services.essentials", application)
    if uv_cache:
        mount = f"--mount=type=cache,id={uv_cache},target=/root/.cache/uv"
        text = text.replace(" UV_NO_CACHE=1", "")
        text = text.replace("RUN --mount=", f"RUN {mount} \\\n    --mount=")
    return text


def _write_context(folder: Path, checkout: Checkout, target: str, whole_lock: bool) -> None:
    """Write the build context: the list of requirements, the same files as in our image, and a CA bundle."""
    described = checkout.image(target)
    (folder / "requirements.txt").write_text(_requirements(checkout, described, whole_lock))
    _copy_certificates(folder)
    for file in described["files"]:
        path = folder / "src" / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout.path / file["source"], path)


def _copy_certificates(folder: Path) -> None:
    certificates = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(certificates, folder / "certificates.pem")


def _requirements(checkout: Checkout, described: dict, whole_lock: bool) -> str:
    locked = _locked(checkout.path / _LOCK)
    if not whole_lock:
        return "".join(f"{locked[r['name']][0]}\n" for r in described["requirements"])
    lines = []
    for pinned, marker in locked.values():
        pin, _, hashes = pinned.partition(" ")
        lines.append(f"{pin}{f' ; {marker}' if marker else ''} {hashes}\n")
    return "".join(lines)


def _locked(lock: Path) -> dict[str, tuple[str, str]]:
    """Map each distribution of a lock to its requirement with hashes, and its marker."""
    locked, name = {}, ""
    for line in lock.read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==", line)
        if match:
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            pin, _, marker = line.rstrip(" \\").partition(" ;")
            locked[name] = (pin, marker.strip())
        elif "--hash=" in line:
            pin, marker = locked[name]
            locked[name] = (f"{pin} {line.strip().rstrip(' ' + chr(92))}", marker)
    return locked
