"""Essentials: each route uses the library in its name, and answers with the library's result for the request.

From the directory src:

    serve run services.essentials.app:app
    curl http://127.0.0.1:8000/fastapi
    curl http://127.0.0.1:8000/pyyaml --data-binary 'fox: [quick, brown]'

The routes of databases read the environment (see settings.py). An invalid request is answered with 422, and a missing
database with 503; /neo4j reports a missing database as its result.
"""

from __future__ import annotations

from fastapi import FastAPI
from ray import serve

from services.essentials import computing, databases, documents, serving

# The routes are added one by one: Ray Serve 2.48 does not know the router that `include_router` would add, and would
# log a traceback for each request.
api = FastAPI(
    title="Essentials",
    routes=[
        *computing.router.routes,
        *databases.router.routes,
        *documents.router.routes,
        *serving.router.routes,
    ],
)


@serve.deployment
@serve.ingress(api)
class Essentials:
    """Passes requests on to the routes of the FastAPI application."""


app = Essentials.bind()  # type: ignore[attr-defined]  # mypy ignores what class decorators return
