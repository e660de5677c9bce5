"""Routes that query databases: PostgreSQL with asyncpg and psycopg2, Neo4j with its own driver.

Both routes for PostgreSQL let the database count the words of a text that carry meaning.
"""

from __future__ import annotations

from typing import Annotated, Optional

import asyncpg
import psycopg2
from fastapi import APIRouter, Depends, HTTPException
from neo4j import AsyncGraphDatabase
from neo4j.exceptions import DriverError, Neo4jError
from psycopg2.extras import execute_values
from pydantic import BaseModel

from libs.text.words import meaningful_words
from services.essentials.metrics import count_request
from services.essentials.settings import neo4j_uri, postgres_dsn

router = APIRouter(dependencies=[Depends(count_request)])

SECONDS = 10
DEFAULT_TEXT = "A fox is a fox, and a box is a box for a fox"

Dsn = Annotated[str, Depends(postgres_dsn)]
Uri = Annotated[str, Depends(neo4j_uri)]


class WordCounts(BaseModel):
    """The result of PostgreSQL."""

    server_version: str
    words: dict[str, int]


class Neo4jAnswer(BaseModel):
    """The result of Neo4j, or the reason that there is none.

    Attributes:
        agent: Name and version of the server, if it answers.
        error: Reason that no server answers. It starts with "Connection refused" if nothing listens at `uri`.
    """

    uri: str
    agent: Optional[str] = None
    error: Optional[str] = None


def _no_answer(error: Exception) -> HTTPException:
    return HTTPException(503, f"PostgreSQL does not answer: {str(error).strip()}")


@router.get("/asyncpg")
async def count_words_in_one_query(dsn: Dsn, text: str = DEFAULT_TEXT) -> WordCounts:
    """Count words with asyncpg, which sends them as one array."""
    query = "SELECT word, count(*) FROM unnest($1::text[]) AS word GROUP BY word ORDER BY word"
    try:
        connection = await asyncpg.connect(dsn, timeout=SECONDS)
    except (OSError, asyncpg.PostgresError) as error:
        raise _no_answer(error) from error
    try:
        version = await connection.fetchval("SHOW server_version")
        rows = await connection.fetch(query, meaningful_words(text))
    finally:
        await connection.close()
    return WordCounts(server_version=version, words={row["word"]: row["count"] for row in rows})


@router.get("/psycopg2")
def count_words_in_a_table(dsn: Dsn, text: str = DEFAULT_TEXT) -> WordCounts:
    """Count words with psycopg2, which inserts them into a table of this session alone."""
    try:
        connection = psycopg2.connect(dsn, connect_timeout=SECONDS)
    except psycopg2.OperationalError as error:
        raise _no_answer(error) from error
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE words (word text NOT NULL)")
            rows = [(word,) for word in meaningful_words(text)]
            execute_values(cursor, "INSERT INTO words VALUES %s", rows)
            cursor.execute("SELECT word, count(*) FROM words GROUP BY word ORDER BY word")
            words = dict(cursor.fetchall())
            cursor.execute("SHOW server_version")
            (version,) = cursor.fetchone()
    finally:
        connection.close()
    return WordCounts(server_version=version, words=words)


def _was_refused(error: Optional[BaseException]) -> bool:
    """Return whether an error was caused, directly or not, by a refused connection."""
    while error is not None and not isinstance(error, ConnectionRefusedError):
        error = error.__cause__
    return error is not None


@router.get("/neo4j")
async def ask_neo4j(uri: Uri) -> Neo4jAnswer:
    """Ask Neo4j for its name and version, with its official driver; a missing server is not an error."""
    try:
        async with AsyncGraphDatabase.driver(uri, connection_timeout=SECONDS) as driver:
            server = await driver.get_server_info()
    except (DriverError, Neo4jError) as error:
        reason = f"Connection refused: {error}" if _was_refused(error) else str(error)
        return Neo4jAnswer(uri=uri, error=reason)
    return Neo4jAnswer(uri=uri, agent=server.agent)
