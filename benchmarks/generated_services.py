"""Services like src/services/echo, for a copy of the repository: each with one third-party import of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Distribution -> the module to import. Small, in 3rdparty/python/ray.lock, not in its requirements.txt (so that no
# module has two owners), and not in the image of src/services/echo.
DISTRIBUTIONS = {
    "arrow": "arrow",
    "babel": "babel",
    "beautifulsoup4": "bs4",
    "bleach": "bleach",
    "defusedxml": "defusedxml",
    "json5": "json5",
    "lark": "lark",
    "mistune": "mistune",
    "parso": "parso",
    "pexpect": "pexpect",
    "tornado": "tornado",
    "webcolors": "webcolors",
}
# Imported only by the service that is added later.
NEW_DISTRIBUTION = (
    "websocket-client",
    "websocket",
)

_APP = '''"""Service {number}: says which words of a text carry its meaning."""

from __future__ import annotations

from typing import Any

import {module}
from ray import serve

from libs.text.words import meaningful_words


@serve.deployment
class Service:
    """Answers GET with the words of the query's text."""

    async def __call__(self, request: Any) -> dict[str, Any]:
        words = meaningful_words(request.query_params.get("text", ""))
        return {{"service": {number}, "words": words, "by": {module}.__name__}}


app = Service.bind()
'''
_BUILD = """python_sources()

slim_ray_image(
    name="image",
    serve_app="services.generated_{number:02}.app:app",
)
"""
_REQUIREMENT = """python_requirement(
    name="{distribution}",
    requirements=["{distribution}"],
    modules=["{module}"],
    resolve="ray-default",
)
"""


@dataclass(frozen=True)
class Service:
    """One generated service."""

    number: int
    distribution: str
    module: str

    @property
    def target(self) -> str:
        return f"src/services/generated_{self.number:02}:image"

    def write(self, repository: Path) -> None:
        """Write the service into a copy of the repository."""
        folder = repository / self.target.partition(":")[0]
        folder.mkdir()
        (folder / "__init__.py").write_text(f'"""Service {self.number}."""\n')
        (folder / "app.py").write_text(_APP.format(number=self.number, module=self.module))
        (folder / "BUILD").write_text(_BUILD.format(number=self.number))

    def remove(self, repository: Path) -> None:
        """Remove the service from a copy of the repository."""
        folder = repository / self.target.partition(":")[0]
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def services_of(count: int) -> list[Service]:
    """Return `count` services; after twelve, the distributions repeat."""
    items = list(DISTRIBUTIONS.items())
    return [Service(number + 1, *items[number % len(items)]) for number in range(count)]


def new_service(count: int) -> Service:
    """Return the service that is added to `count` others."""
    return Service(count + 1, *NEW_DISTRIBUTION)


def write_requirements(repository: Path) -> None:
    """Write targets for the distributions that the services import into a copy of the repository."""
    folder = repository / "3rdparty/generated"
    folder.mkdir()
    every = [*DISTRIBUTIONS.items(), NEW_DISTRIBUTION]
    texts = [_REQUIREMENT.format(distribution=name, module=module) for name, module in every]
    (folder / "BUILD").write_text("\n".join(texts))
