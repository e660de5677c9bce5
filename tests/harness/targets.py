"""Small targets that more than one test writes into the copy of the repository."""

from __future__ import annotations

from textwrap import dedent
from typing import Mapping

from harness.repository import PackagedImage, Repository

_REFERENCES = ("one.example.com/{}:1", "one.example.com/{}:stable", "two.example.com/team/{}:1")


def write_files(repository: Repository, folder: str, files: Mapping[str, str]) -> None:
    """Write the indented texts of files below a folder of src/."""
    for name, content in files.items():
        repository.write(f"src/{folder}/{name}", dedent(content))


def write_driver(repository: Repository, name: str = "driver") -> str:
    """Write a target without a distribution that prints its arguments and the words of a text; return its address."""
    folder = f"src/services/{name}"
    repository.write(f"{folder}/__init__.py", "")
    repository.write(
        f"{folder}/driver.py",
        "import sys\n\n"
        "from libs.text.words import meaningful_words\n\n"
        'print(sys.argv[1:], meaningful_words("The quick fox"))\n',
    )
    repository.write(
        f"{folder}/BUILD",
        'python_sources()\nslim_ray_image(name="image", entry_point="driver.py --rounds 3")\n',
    )
    return f"{folder}:image"


def write_fields(repository: Repository, driver: str, fields: str) -> None:
    """Add `fields` to the image target of `write_driver`."""
    folder = driver.partition(":")[0]
    repository.write(
        f"{folder}/BUILD",
        f'python_sources()\nslim_ray_image(name="image", entry_point="driver.py --rounds 3", {fields})\n',
    )


def references(name: str) -> list[str]:
    """Return the references of the image that `package_archive` packages."""
    return [reference.format(name) for reference in _REFERENCES]


def package_archive(repository: Repository, name: str) -> PackagedImage:
    """Package a driver's image as image.tar alone, named in two registries; the caller restores the repository."""
    driver = write_driver(repository)
    registries = {
        "one": {"address": "one.example.com", "default": True, "extra_image_tags": ["stable"]},
        "two": {"address": "two.example.com", "repository": "team/{target_repository}"},
    }
    write_fields(
        repository,
        driver,
        f'repository="{name}", registries=["@one", "@two"], image_tags=["1"], outputs=["archive"]',
    )
    return repository.package(driver, f"--docker-registries={registries!r}")
