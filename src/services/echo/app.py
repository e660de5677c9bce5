"""Echo: returns a text, with the words in it that carry meaning.

From the directory src:

    serve run services.echo.app:app
    curl 'http://127.0.0.1:8000/?text=The+quick+brown+fox'
    curl http://127.0.0.1:8000/ --data 'The quick brown fox'
"""

from __future__ import annotations

from typing import Any, Mapping, Protocol

from ray import serve

from libs.text.words import meaningful_words

DEFAULT_TEXT = "Hello from Ray Serve"


class Request(Protocol):
    """The parts of Ray Serve's request that this service uses."""

    method: str
    query_params: Mapping[str, str]

    async def body(self) -> bytes:
        """Return the body that the client sent."""
        ...


def echo(text: str) -> dict[str, Any]:
    """Return the answer to `text`, ready to become JSON."""
    return {"echo": text, "words": meaningful_words(text)}


@serve.deployment
class Echo:
    """Answers GET with the text of the query, and POST with the text of the body."""

    async def __call__(self, request: Request) -> dict[str, Any]:
        if request.method == "POST":
            return echo((await request.body()).decode("utf-8", errors="replace"))
        return echo(request.query_params.get("text", DEFAULT_TEXT))


app = Echo.bind()  # type: ignore[attr-defined]  # mypy ignores what class decorators return
