"""Find files of distributions on a package index or a page of links.

Formats: the simple repository API in HTML
(https://packaging.python.org/en/latest/specifications/simple-repository-api/), and pages that link to files.
"""

from __future__ import annotations

import html.parser
import os
from typing import Iterator, Optional, Sequence
from urllib.parse import unquote, urljoin, urlsplit

from slim_ray_image.sandbox.tools.index_client import IndexClient, as_url


class _Links(html.parser.HTMLParser):
    """A parser that collects the targets of the links of an HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def pages_of(name: str, indexes: Sequence[str], find_links: Sequence[str]) -> list[str]:
    """Return the URLs of pages that may link to files of a distribution: pages of links, then its page on each index.

    Args:
        name: Canonical name of the distribution (PEP 503).
    """
    return [*map(as_url, find_links), *(f"{index.rstrip('/')}/{name}/" for index in indexes)]


def links_of(client: IndexClient, page: str) -> Iterator[str]:
    """Yield the absolute URLs that a page links to, without fragments; for a folder, the URLs of its files.

    Raises:
        OSError: If the page cannot be read.
    """
    folder = unquote(urlsplit(page).path)
    if page.startswith("file:") and os.path.isdir(folder):
        yield from (f"file://{os.path.join(folder, name)}" for name in sorted(os.listdir(folder)))
        return
    parser = _Links()
    parser.feed(client.read(page).decode(errors="replace"))
    yield from (urljoin(page, link).partition("#")[0] for link in parser.found)
