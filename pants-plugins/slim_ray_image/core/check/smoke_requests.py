"""Values of the field `smoke_requests`: HTTP requests and the answers they must get.

In: paths, and results of `smoke_request(...)` in a BUILD file. Out: the requests that a smoke test sends.
"""

from __future__ import annotations

import ast
import json as json_module
import re
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, Optional, Union

from slim_ray_image.core.check.smoke_test import SmokeRequest
from slim_ray_image.core.errors import InvalidValueError

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
EXAMPLE = 'smoke_request(method="POST", path="/rank", json=[{"clicks": 3}], status=200, contains="ranking")'
_PATH = re.compile(r"/[!-~]*")
_MEDIA_TYPE = re.compile(r"[!-~][ -~]*")
JSON, TEXT = "application/json", SmokeRequest.media_type
_MOST_SHOWN = 300


@dataclass(frozen=True)
class WrongSmokeRequest:
    """A mistake in a `smoke_request(...)` of a BUILD file, kept until the field, which knows its target, reports it."""

    subject: str
    fix: str


def smoke_request(
    *unnamed: Any,
    method: Optional[str] = None,
    path: Optional[str] = None,
    json: Any = None,
    body: Optional[str] = None,
    media_type: Optional[str] = None,
    status: Optional[int] = None,
    contains: Optional[str] = None,
    **unknown: Any,
) -> Union[SmokeRequest, WrongSmokeRequest]:
    """An HTTP request of the field `smoke_requests` of a `slim_ray_image`, and the answer that it must get.

    Args:
        method: HTTP method. Default: GET. A request with `json` or `body` must name its method.
        path: Path and query of the URL, such as "/prices?name=cherry".
        json: Value to send as JSON.
        body: Text to send; in place of `json`.
        media_type: Media type of `body`. Default: "text/plain; charset=utf-8".
        status: Status that the answer must have. Default: any below 400, redirects included.
        contains: Text that the answer must contain.
    """
    arguments = {
        **{"method": method, "path": path, "json": json, "body": body},
        **{"media_type": media_type, "status": status, "contains": contains},
    }
    given = {name: value for name, value in arguments.items() if value is not None}
    if unnamed or unknown:
        rule = f"call `smoke_request` with the named arguments {', '.join(arguments)}"
        return _wrong(_call({**given, **unknown}, unnamed), rule, f"write {EXAMPLE}")
    for rule, fix in _mistakes(given):
        return _wrong(_call(given), f"contain requests {rule}", fix)
    return SmokeRequest(
        given.get("method", "GET"),
        given["path"],
        json_module.dumps(json) if "json" in given else body,
        JSON if "json" in given else given.get("media_type", TEXT),
        status,
        given.get("contains", ""),
    )


def _wrong(call: str, rule: str, fix: str) -> WrongSmokeRequest:
    shown = call if len(call) <= _MOST_SHOWN else f"{call[:_MOST_SHOWN]}..."
    return WrongSmokeRequest(f"must {rule}, but has {shown}.", fix)


def _literal(value: Any) -> str:
    """Return a value as a BUILD file spells it, with double quotes where JSON has the same spelling."""
    try:
        text = json_module.dumps(value, ensure_ascii=False)
        if ast.literal_eval(text) == value:
            return text
    except (TypeError, ValueError, SyntaxError, RecursionError):
        pass
    return repr(value)


def _call(arguments: Mapping[str, Any], unnamed: Iterable[Any] = ()) -> str:
    shown = [*map(_literal, unnamed), *(f"{name}={_literal(v)}" for name, v in arguments.items())]
    return f"smoke_request({', '.join(shown)})"


def _is_text(value: Any, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and bool(form.fullmatch(value))


def _mistakes(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (rule, fix) for each rule that the arguments of a `smoke_request(...)` break."""
    if not _is_text(given.get("path"), _PATH):
        fix = 'write the path as a URL has it, such as path="/rank?name=a%20fox"'
        yield "with a `path` that starts with '/' and has no blanks", fix
    if given.get("method", "GET") not in METHODS:
        yield f"with a `method` of {', '.join(METHODS)}", "write one of these methods"
    for name in ("body", "contains"):
        if not isinstance(given.get(name, ""), str):
            yield f"whose `{name}` is a text", f"put the value of `{name}` in quotes"
    if not _is_text(given.get("media_type", TEXT), _MEDIA_TYPE):
        yield "whose `media_type` is printable ASCII", 'write one such as media_type="text/csv"'
    status = given.get("status", 200)
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status < 600:
        yield "with a `status` from 100 to 599", "write a number such as status=404"
    if "json" in given and "body" in given:
        yield "with at most one of `json` and `body`", "remove one of them"
    if "media_type" in given and "body" not in given:
        fix = "remove `media_type`, or send a text as `body`"
        yield "with a `media_type` only if they have a `body`", fix
    if "method" not in given and ("json" in given or "body" in given):
        fix = 'add method="POST", or the method that the application expects'
        yield "that name a `method` if they have `json` or `body`", fix
    try:
        json_module.dumps(given.get("json"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        fix = "use lists, dictionaries, texts, numbers, True, False and None"
        yield f"whose `json` can be written as JSON ({error})", fix


# Requests as earlier versions of the field spelled them, `[METHOD ]PATH[ BODY][ -> STATUS[ TEXT]]`.
_OLD = re.compile(r"(?:(?P<method>[A-Z]+) +)?(?P<path>/\S*)(?: +(?P<rest>.+))?", re.DOTALL)
_OLD_ANSWER = re.compile(r"(?:^| +)-> +([1-5]\d\d)(?= |$)")
_OLD_ARROW = re.compile(r"(?:^| )->(?: |$)")


def _from_json(text: str) -> Any:
    """Return the value of a JSON text; None for `null` and for a text that is not JSON."""
    try:
        return json_module.loads(text)
    except (ValueError, RecursionError):
        return None


def in_new_spelling(text: str) -> Optional[str]:
    """Return a smoke request in its old spelling, a text, as a BUILD file spells it today; None for any other text."""
    match = _OLD.fullmatch(text.strip())
    if not match or match["method"] not in (None, *METHODS):
        return None
    rest = match["rest"] or ""
    arrows = [*_OLD_ANSWER.finditer(rest)]
    answered = [(rest[: a.start()], int(a[1]), rest[a.end() :].strip()) for a in arrows]
    splits: list[tuple[str, Optional[int], str]] = [*answered, (rest, None, "")]
    # A JSON body may contain an arrow.
    body, status, contains = next(
        (split for split in splits if _from_json(split[0]) is not None), splits[0]
    )
    if status is None and _OLD_ARROW.search(body):
        return None  # the part after the arrow is malformed
    value = _from_json(body)
    arguments = {
        "method": match["method"] or ("POST" if body else None),
        "path": match["path"],
        **({"body": body or None} if value is None else {"json": value}),
        "status": status,
        "contains": contains or None,
    }
    if not body and arguments["method"] == "GET":
        arguments["method"] = None
    given = {name: value for name, value in arguments.items() if value is not None}
    return _literal(match["path"]) if [*given] == ["path"] else _call(given)


def parse_smoke_request(value: Union[str, SmokeRequest, WrongSmokeRequest]) -> SmokeRequest:
    """Return the HTTP request that one value of the field `smoke_requests` stands for.

    Raises:
        InvalidValueError: If the value is wrong, or in the old spelling.
    """
    if isinstance(value, SmokeRequest):
        return value
    if isinstance(value, WrongSmokeRequest):
        raise InvalidValueError(value.subject, fixes=[value.fix])
    if _PATH.fullmatch(value):
        return SmokeRequest("GET", value)
    raise InvalidValueError(
        f"must contain paths that start with '/' and have no blanks, and `smoke_request(...)`, but has {value!r}.",
        fixes=[f"write {in_new_spelling(value) or EXAMPLE}"],
    )


def parse_smoke_requests(
    values: Iterable[Union[str, SmokeRequest, WrongSmokeRequest]]
) -> tuple[SmokeRequest, ...]:
    """Return the HTTP requests that the values of the field `smoke_requests` stand for, in order.

    Raises:
        InvalidValueError: For the first value that is wrong.
    """
    return tuple(map(parse_smoke_request, values))


def default_requests(route_prefixes: Iterable[Optional[str]]) -> tuple[SmokeRequest, ...]:
    """Return the smoke test's HTTP requests for a target that names none: GET of each application's route prefix."""
    return tuple(SmokeRequest("GET", prefix) for prefix in route_prefixes if prefix)
