"""Small targets that more than one test writes into the copy of the repository."""

from __future__ import annotations

from integration.repository import Repository


def write_driver(repository: Repository) -> None:
    """Write src/services/driver:image, which prints its arguments and the words of a text and needs no distribution."""
    repository.write("src/services/driver/__init__.py", "")
    repository.write(
        "src/services/driver/driver.py",
        "import sys\n\n"
        "from libs.text.words import meaningful_words\n\n"
        'print(sys.argv[1:], meaningful_words("The quick fox"))\n',
    )
    repository.write(
        "src/services/driver/BUILD",
        'python_sources()\nslim_ray_image(name="image", entry_point="driver.py --rounds 3")\n',
    )
