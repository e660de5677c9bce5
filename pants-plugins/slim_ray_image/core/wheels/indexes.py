"""Package indexes and pages of links, their credentials kept apart.

In: URLs as `[python-repos]` has them. Out: the URL without credentials, which may be logged and stored, and the rest.
Grammar: https://datatracker.ietf.org/doc/html/rfc3986#section-3.2.1 ("userinfo").
"""

from __future__ import annotations

import re
from typing import Optional
from urllib.parse import quote, unquote, urlsplit, urlunsplit

Credentials = tuple[str, str]  # user, password; not percent-encoded


# It ends at the last "@" before a path, a query or a fragment: some passwords have one that is not escaped.
_USERINFO = r"([^/?#]*)@"


def split_credentials(url: str) -> tuple[str, Optional[Credentials]]:
    """Return `url` without its userinfo, and the user and password of that; None when it has none.

    Args:
        url: Of any scheme, such as https or git+https.
    """
    scheme, _, rest = url.partition("://")
    found = re.match(_USERINFO, rest)
    if not found:
        return url, None
    user, _, password = found[1].partition(":")
    return f"{scheme.lower()}://{rest[found.end() :]}", (unquote(user), unquote(password))


def without_credentials(text: str) -> str:
    """Return a text, such as a command, without the userinfo of its URLs."""
    return re.sub(r"\S+", lambda word: re.sub(f"(?<=://){_USERINFO}", "", word[0]), text)


def join_credentials(url: str, credentials: Credentials) -> str:
    """Return `url` with the credentials in it; the inverse of `split_credentials`."""
    parts = urlsplit(url)
    user, password = (quote(text, safe="") for text in credentials)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc}"))


def file_of(url: str) -> str:
    """Return the name of the file that a URL leads to."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def host_of(url: str) -> Optional[str]:
    """Return the host, without its port, that an http or https URL names, as netrc files name machines."""
    parts = urlsplit(url)
    return parts.hostname if parts.scheme in ("http", "https") else None
