"""Small targets that more than one test writes into the copy of the repository."""

from __future__ import annotations

from integration.repository import Repository


def write_driver(repository: Repository, name: str = "driver") -> str:
    """Write a target that prints its arguments and the words of a text, without a distribution, and return it."""
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
