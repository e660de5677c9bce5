"""Tests of the Markdown pages: every link to a file of the repository has a target."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md")
    for page in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)#\s]+)")


def local_links(page: Path) -> list[str]:
    return [link for link in LINK.findall(page.read_text()) if "://" not in link]


def test_readme_is_among_the_pages() -> None:
    """The pages and their links are found, so that the test below checks something."""
    assert Path("README.md") in PAGES
    assert local_links(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """A link without a host is a path, relative to its page, to an existing file or folder."""
    missing = [
        link for link in local_links(ROOT / page) if not (ROOT / page.parent / link).exists()
    ]
    assert not missing
