"""Tests that all files name the same release of Ray and of KubeRay, the ones that the plugin follows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

import pytest

from slim_ray_image.core.check import kuberay
from slim_ray_image.core.serve import ray

ROOT = Path(__file__).resolve().parents[2]
PLACES = (
    "*.md",
    "3rdparty/**/*.txt",
    "docs/**/*.md",
    "pants-plugins/**/*.py",
    "src/**/*",
    "tests/**/*.py",
    "tests/golden/**/*",
)
# A version soon after the name: "Ray Serve 2.48", "ray[serve]==2.48.0", 'rayVersion: "2.48.0"', ".../releases-2.48.0/".
RAY = re.compile(
    r"(?i)(?:\bray(?:[ _]serve|versions?)?\b|\breleases-)[^\n\d|]{0,20}?(\d+\.\d+(?:\.\d+)*)"
)
# "KubeRay 1.7", "its operator, version 1.7", ".../kuberay/blob/v1.7.0/".
KUBERAY = re.compile(
    r"(?i)(?:\bkuberay|\boperator)(?:\W*version|/\w+/)?[^\n\w]{0,6}?v?(\d+\.\d+(?:\.\d+)*)"
)
# Pairs of a path and another version of Ray that its file names, with the reasons.
OTHERS = {
    # From this version on, KubeRay probes Ray by HTTP and not by wget.
    ("docs/decisions/0010-the-runtime-layer.md", "2.53"),
    # The release that removed modules of Ray.
    ("pants-plugins/slim_ray_image/core/closure/ray_extras.py", "2.0"),
    ("tests/golden/errors/closure/ray-module-removed.txt", "2.0"),
    # A manifest names another Ray than the one that is locked.
    ("tests/core/test_consistency.py", "2.46.0"),
    ("tests/core/test_serve_config.py", "2.9.0"),
    ("tests/golden/errors/packages/package-other-ray-in-the-manifest.txt", "2.46.0"),
    ("tests/golden/errors/wheels/ray-version-of-manifest.txt", "2.46.0"),
    ("tests/integration/test_serve_config.py", "2.46.0"),
    # A wheel that a test makes, or a row that stands for one.
    ("tests/core/test_requirements.py", "1.0"),
    ("tests/sandbox/test_describe_wheels.py", "1.0"),
    ("tests/sandbox/test_list_layer.py", "1.0"),
    ("tests/sandbox/test_prune_distributions.py", "1.0"),
    ("tests/sandbox/test_write_distributions.py", "1.0"),
}


def named(pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Yield a pair of path and version for each version that a file names."""
    found = (path for place in PLACES for path in ROOT.glob(place) if path.is_file())
    for path in sorted(found):
        if path != Path(__file__).resolve():
            text = path.read_text("utf-8", "replace")
            yield from ((str(path.relative_to(ROOT)), version) for version in pattern.findall(text))


def test_ray_is_the_release_that_is_followed() -> None:
    """Files name other releases of Ray only as `OTHERS` lists them, and every entry of `OTHERS` is needed."""
    release = {ray.VERSION, ray.RELEASE}
    assert {pair for pair in named(RAY) if pair[1] not in release} == OTHERS


def test_kuberay_is_the_release_that_is_followed() -> None:
    """No file names another release of KubeRay."""
    release = {kuberay.VERSION, kuberay.VERSION.rpartition(".")[0]}
    assert {pair for pair in named(KUBERAY) if pair[1] not in release} == set()
    assert ("pants-plugins/slim_ray_image/core/check/kuberay.py", kuberay.VERSION) in set(
        named(KUBERAY)
    )


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (RAY, "Ray Serve 9.8"),
        (RAY, "ray[serve]==9.8"),
        (RAY, 'rayVersion: "9.8"'),
        (RAY, "https://docs.ray.io/en/releases-9.8/serve/index.html"),
        (RAY, 'make_distribution("ray", version="9.8")'),
        (KUBERAY, "KubeRay 9.8 starts"),
        (KUBERAY, "its operator, version 9.8:"),
        (KUBERAY, "https://github.com/ray-project/kuberay/blob/v9.8/ray-operator"),
    ],
    ids=str,
)
def test_version_is_seen(pattern: re.Pattern[str], text: str) -> None:
    """The patterns find a version in each of the usual spellings."""
    assert pattern.findall(text) == ["9.8"]
