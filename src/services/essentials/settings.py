"""Settings from the environment: the addresses of the databases, and the service's own address."""

from __future__ import annotations

import os

from fastapi import HTTPException


def postgres_dsn() -> str:
    """Return the DSN of the PostgreSQL database, from POSTGRES_DSN.

    Raises:
        HTTPException: If the variable is not set.
    """
    dsn = os.environ.get("POSTGRES_DSN")
    if not dsn:
        raise HTTPException(
            503,
            "There is no database: POSTGRES_DSN is not set. It is like postgresql://user@host/db.",
        )
    return dsn


def neo4j_uri() -> str:
    """Return the URI of the Neo4j server, from NEO4J_URI; by default, one on this machine."""
    return os.environ.get("NEO4J_URI", "bolt://127.0.0.1:7687")


def own_url() -> str:
    """Return the URL at which Ray Serve listens, for requests from this machine."""
    return f"http://127.0.0.1:{os.environ.get('RAY_SERVE_DEFAULT_HTTP_PORT', '8000')}"
