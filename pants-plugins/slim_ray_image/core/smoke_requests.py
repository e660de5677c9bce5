"""What the field `smoke_requests` may say: HTTP requests, and what must come back.

In: the field's texts, `[METHOD ]PATH[ BODY][ -> STATUS[ TEXT]]`. Out: requests that a smoke test sends.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Iterable, Optional

from slim_ray_image.core.errors import SlimRayImageError

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_REQUEST = re.compile(r"(?:(?P<method>[A-Z]+) +)?(?P<path>/\S*)(?: +(?P<rest>.+))?", re.DOTALL)
_EXPECTED = re.compile(r"(?:^| +)-> +([1-5]\d\d)(?= |$)")
_ARROW = re.compile(r"(?:^| )->(?: |$)")
_FIRST_FAILURE = 400
_FIX = (
    "write `[METHOD ]PATH[ BODY][ -> STATUS[ TEXT]]`, as '/health', 'GET /missing -> 404' or "
    "'POST /rank [{\"clicks\": 3}] -> 200 ranking'"
)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@dataclass(frozen=True)
class SmokeRequest:
    """A request, and what is expected of its answer.

    Attributes:
        status: The answer's; None for any below 400, redirects included.
        text: What the answer's body must contain; may be empty.
    """

    method: str
    path: str
    body: Optional[str] = None
    status: Optional[int] = None
    text: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def media_type(self) -> str:
        """That of the body: JSON where it is valid JSON."""
        return "application/json" if _is_json(self.body or "") else "text/plain; charset=utf-8"

    def problem(self, status: int, body: str) -> Optional[str]:
        """Return what is wrong with an answer, as a clause, or None."""
        if self.status is None and status >= _FIRST_FAILURE:
            return f"answered {status}, not a status below {_FIRST_FAILURE}"
        if self.status not in (None, status):
            return f"answered {status}, not {self.status}"
        if self.text not in body:
            return f"answered without {self.text!r}"
        return None


def _split(rest: str) -> Optional[tuple[str, Optional[int], str]]:
    """Return the body, and the status and the text that are expected, of what follows a path; None of neither.

    A body that is JSON ends where that does, whatever is in it; any other one at the first arrow with a status.
    """
    splits: list[tuple[str, Optional[int], str]] = [(rest, None, "")]
    for arrow in _EXPECTED.finditer(rest):
        splits.append((rest[: arrow.start()], int(arrow[1]), rest[arrow.end() :].strip()))
    found = next((split for split in splits if _is_json(split[0])), None)
    if found is None:
        found = splits[min(1, len(splits) - 1)]
        if found[1] is None and _ARROW.search(rest):
            return None  # an expectation, with a slip of the pen
    return found


def parse_smoke_request(text: str) -> SmokeRequest:
    """Return the request that `text` says.

    Raises:
        SlimRayImageError: If it says none, or a method that HTTP does not have.
    """
    match = _REQUEST.fullmatch(text.strip())
    parts = _split(match["rest"] or "") if match else None
    if not match or not parts:
        raise SlimRayImageError(f"must hold HTTP requests, but has {text!r}.", fixes=[_FIX])
    method, (body, status, expected) = match["method"] or "GET", parts
    if method not in METHODS:
        raise SlimRayImageError(
            f"must hold HTTP requests with a method of {', '.join(METHODS)}, but has {text!r}.",
            fixes=[_FIX],
        )
    if body and match["method"] is None:
        raise SlimRayImageError(
            f"must hold HTTP requests that name their method where they have a body, but has {text!r}.",
            fixes=[_FIX],
        )
    return SmokeRequest(method, match["path"], body or None, status, expected)


def parse_smoke_requests(texts: Iterable[str]) -> tuple[SmokeRequest, ...]:
    """Return the requests of a field `smoke_requests`.

    Raises:
        SlimRayImageError: If a text is none.
    """
    return tuple(map(parse_smoke_request, texts))


def default_requests(route_prefixes: Iterable[Optional[str]]) -> tuple[SmokeRequest, ...]:
    """Return what is asked of applications whose target says nothing: GET of each route; None is one without HTTP."""
    return tuple(SmokeRequest("GET", prefix) for prefix in route_prefixes if prefix)
