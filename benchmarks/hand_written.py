"""The alternative that the benchmarks run beside: essentials by the hand-written Dockerfile of `essentials_dockerfile/`.

Its list of distributions is that of our image, with the lock's hashes, or the whole lock of the repository, as one list
for all services would be; its files are ours.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TARGET = "src/services/essentials:image"
RESULT = REPOSITORY / "dist/src.services.essentials/image/image.json"
# The newer client that some machines have first on PATH lacks BuildKit.
DOCKER = shutil.which("docker", path=f"/usr/bin:{os.environ['PATH']}") or "docker"
_BASE_IN_DOCKER = "slim-ray-image.local/benchmark-base:latest"
_LOCK = REPOSITORY / "3rdparty/python/ray.lock"


def load_base(layout: str) -> None:
    """Put the base image, an OCI image layout as oci:FOLDER:TAG, into Docker."""
    subprocess.run(
        ["skopeo", "copy", "--quiet", layout, f"docker-daemon:{_BASE_IN_DOCKER}"], check=True
    )


def _locked() -> dict[str, tuple[str, str]]:
    """Distribution -> its requirement with hashes, and its marker."""
    locked, name = {}, ""
    for line in _LOCK.read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==", line)
        if match:
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            pin, _, marker = line.rstrip(" \\").partition(" ;")
            locked[name] = (pin, marker.strip())
        elif "--hash=" in line:
            pin, marker = locked[name]
            locked[name] = (f"{pin} {line.strip().rstrip(' ' + chr(92))}", marker)
    return locked


def _requirements(described: dict, whole_lock: bool) -> str:
    locked = _locked()
    if not whole_lock:
        return "".join(f"{locked[r['name']][0]}\n" for r in described["requirements"])
    lines = []
    for pinned, marker in locked.values():
        pin, _, hashes = pinned.partition(" ")
        lines.append(f"{pin}{f' ; {marker}' if marker else ''} {hashes}\n")
    return "".join(lines)


def _write_context(folder: Path, whole_lock: bool) -> None:
    """The build context: the list, the same files as in our image, and a CA bundle."""
    described = json.loads(RESULT.read_text())
    (folder / "requirements.txt").write_text(_requirements(described, whole_lock))
    certificates = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(certificates, folder / "certificates.pem")
    for file in described["files"]:
        path = folder / "src" / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file["source"], path)
    shutil.copy(REPOSITORY / "benchmarks/essentials_dockerfile/Dockerfile", folder / "Dockerfile")


def docker_build(name: str, *arguments: str, whole_lock: bool = False) -> None:
    """Build the image `name`; the base is in Docker already, as a registry mirror would have it."""
    with tempfile.TemporaryDirectory() as folder:
        _write_context(Path(folder), whole_lock)
        subprocess.run(
            [
                *(DOCKER, "build", "--network", "host", "--quiet", *arguments),
                *("--build-arg", f"BASE={_BASE_IN_DOCKER}", "--tag", name, folder),
            ],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
