"""Essentials: each route uses the library that it is named after, and answers with what that made of the request.

From the directory src:

    serve run services.essentials.app:app
    curl http://127.0.0.1:8000/fastapi
    curl http://127.0.0.1:8000/pyyaml --data-binary 'fox: [quick, brown]'

The routes of databases read the environment (see settings.py). What a client sends wrong is answered with 422, and a
database that is not there with 503; /neo4j reports it.
"""

from __future__ import annotations

from fastapi import FastAPI
from ray import serve

from services.essentials import computing, databases, documents, serving

# The routes themselves: Ray Serve 2.48 does not know the router that `include_router` would put here, and would log a
# traceback for each request.
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
    """Hands requests to the routes of the FastAPI application."""


app = Essentials.bind()  # type: ignore[attr-defined]  # mypy ignores what class decorators return
