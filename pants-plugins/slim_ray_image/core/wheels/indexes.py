"""URLs of package indexes and pages of links, separated from their credentials.

In: URLs as `[python-repos]` has them. Out: the URL without credentials, which may be logged and stored, and the
credentials.
Grammar: https://datatracker.ietf.org/doc/html/rfc3986#section-3.2.1 ("userinfo").
"""

from __future__ import annotations

import re
from typing import Optional
from urllib.parse import quote, unquote, urlsplit, urlunsplit

Credentials = tuple[str, str]  # user, password; not percent-encoded


# The userinfo ends at the last "@" before a path, a query or a fragment: some passwords contain an "@" that is not
# escaped.
_USERINFO = r"([^/?#]*)@"


def split_credentials(url: str) -> tuple[str, Optional[Credentials]]:
    """Return `url` without its userinfo, and the user and password in the userinfo, or None if there is no userinfo.

    Args:
        url: A URL of any scheme, such as https or git+https.
    """
    scheme, _, rest = url.partition("://")
    found = re.match(_USERINFO, rest)
    if not found:
        return url, None
    user, _, password = found[1].partition(":")
    return f"{scheme.lower()}://{rest[found.end() :]}", (unquote(user), unquote(password))


def without_credentials(text: str) -> str:
    """Return a text, such as a command, without the users and passwords in its URLs."""
    return re.sub(r"\S+", lambda word: re.sub(f"(?<=://){_USERINFO}", "", word[0]), text)


def join_credentials(url: str, credentials: Credentials) -> str:
    """Return `url` with credentials added; the inverse of `split_credentials`."""
    parts = urlsplit(url)
    user, password = (quote(text, safe="") for text in credentials)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc}"))


def file_of(url: str) -> str:
    """Return the file name at the end of a URL's path, with percent-encoding decoded."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def host_of(url: str) -> Optional[str]:
    """Return the host of an http or https URL without the port, as netrc files name machines; None for other URLs."""
    parts = urlsplit(url)
    return parts.hostname if parts.scheme in ("http", "https") else None
