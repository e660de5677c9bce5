"""What the environment tells the service: where its databases are, and where it listens itself."""

from __future__ import annotations

import os

from fastapi import HTTPException


def postgres_dsn() -> str:
    """Return the DSN of the PostgreSQL to ask, from POSTGRES_DSN.

    Raises:
        HTTPException: If there is none.
    """
    dsn = os.environ.get("POSTGRES_DSN")
    if not dsn:
        raise HTTPException(
            503,
            "There is no database: POSTGRES_DSN is not set. It is like postgresql://user@host/db.",
        )
    return dsn


def neo4j_uri() -> str:
    """Return the URI of the Neo4j to ask, from NEO4J_URI; by default, one on this machine."""
    return os.environ.get("NEO4J_URI", "bolt://127.0.0.1:7687")


def own_url() -> str:
    """Return where Ray Serve listens, seen from this machine."""
    return f"http://127.0.0.1:{os.environ.get('RAY_SERVE_DEFAULT_HTTP_PORT', '8000')}"
