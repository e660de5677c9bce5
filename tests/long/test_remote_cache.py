"""Tests that machines share results through Pants' own remote cache, without a cache of the plugin's own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, Iterator

import pytest
from harness.fixtures import BASE_REFERENCE
from harness.other_machine import make_other_machine
from harness.remote_cache import RemoteCache, counters
from harness.repository import PackagedImage, Repository
from needs import needs, program

pytestmark = needs("base", "remote-cache")

TARGET = "src/services/echo:image"
# buildbox-casd wants the folders of an output tree as blobs of their own, which Pants does not send; other servers,
# such as bazel-remote, do not ask for them. These processes run again with the same results, so the cache has the
# results of all later processes.
MADE_AGAIN = {
    "Install the tools of slim_ray_image for CPython 3.10",
    f"Extract the interpreter of {BASE_REFERENCE}",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RemoteCache]:
    found = RemoteCache(program("buildbox-casd"), tmp_path / "server")
    yield found
    found.close()


@pytest.fixture
def machine(
    tmp_path: Path, base_source: str, base_layout: Path
) -> Iterator[Callable[[str], Repository]]:
    """A function that makes a machine of a given name, with its own path and home, and empty caches."""
    made: list[Repository] = []

    def make(name: str) -> Repository:
        tag = base_source.rpartition(":")[2]
        made.append(make_other_machine(tmp_path / name, base_layout, tag, BASE_REFERENCE))
        return made[-1]

    yield make
    for repository in made:
        repository.close()


@pytest.fixture
def filled(server: RemoteCache, machine: Callable[[str], Repository]) -> PackagedImage:
    """The image of a first machine, which has written all its results to the remote cache."""
    options = ("--no-pantsd", "--remote-cache-write", *server.options)
    image = machine("first").package(TARGET, *options)
    assert counters(image.run)["remote_cache_write_successes"] > 25
    return image


def test_second_machine_makes_nothing_again(
    server: RemoteCache,
    filled: PackagedImage,
    machine: Callable[[str], Repository],
    record_property: Callable[[str, object], None],
) -> None:
    """A second machine finds the result of every process except `MADE_AGAIN`, with another path and home."""
    options = ("--no-pantsd", "--remote-cache-read", *server.options)
    image = machine("second").package(TARGET, *options)
    counted = counters(image.run)
    for name, count in counted.items():
        record_property(name, count)
    assert set(image.run.completed) <= MADE_AGAIN
    assert counted["remote_cache_requests_uncached"] == len(image.run.completed)
    assert counted["remote_cache_requests_cached"] > 25
    assert image.description["manifest_digest"] == filled.description["manifest_digest"]


def test_cache_that_dies_half_way_is_no_harm(
    server: RemoteCache,
    filled: PackagedImage,
    machine: Callable[[str], Repository],
    tmp_path: Path,
) -> None:
    """When the cache dies during a build, the remaining processes run locally, and the image is the same."""
    repository, log = machine("third"), tmp_path / "log"
    options = ("--no-pantsd", "--remote-cache-read", *server.options)
    build = repository.start(*options, "package", TARGET, output=log)
    while "Find the wheels" not in log.read_text():
        assert build.poll() is None, log.read_text()
        time.sleep(0.01)
    server.close()
    assert build.wait(600) == 0, log.read_text()
    image = PackagedImage(TARGET, repository.output_of(TARGET), filled.run)
    assert "Completed: Write the layer of ray" in log.read_text()
    assert image.description["manifest_digest"] == filled.description["manifest_digest"]
