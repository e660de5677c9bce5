"""Records: inserts titles into a table of MariaDB, and lists them.

From the directory src, with MARIADB_HOST, MARIADB_PORT, MARIADB_USER, MARIADB_PASSWORD and MARIADB_DATABASE set:

    serve run services.records.app:app
    curl --request PUT http://127.0.0.1:8000/table
    curl http://127.0.0.1:8000/records --json '{"title": "A quick fox"}'
    curl http://127.0.0.1:8000/records
"""

from __future__ import annotations

from datetime import datetime

import pymysql
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from ray import serve

from libs.text.words import meaningful_words
from services.records.store import RecordStore

api = FastAPI(title="Records")


class NewRecord(BaseModel):
    """A record in a client's request."""

    title: str = Field(min_length=1, max_length=200)


class Record(NewRecord):
    """A row of the table."""

    id: int
    created: datetime


@api.exception_handler(pymysql.MySQLError)
def explain(request: Request, error: Exception) -> JSONResponse:
    """Answer 503 with the reason, if the database cannot be used."""
    return JSONResponse({"error": f"MariaDB: {error}"}, status_code=503)


@api.put("/table")
def create_table() -> dict[str, str]:
    """Create the table of records if it does not exist; existing records stay."""
    RecordStore.from_environment().create_table()
    return {"table": "records"}


@api.post("/records")
def insert(record: NewRecord) -> dict[str, int]:
    """Insert a record."""
    return {"id": RecordStore.from_environment().insert(record.title)}


@api.get("/records")
def list_records(word: str = "") -> list[Record]:
    """Return the records, the oldest first; with `word`, those whose title has it among its meaningful words."""
    records = [Record(**row) for row in RecordStore.from_environment().list()]
    return [record for record in records if not word or word in meaningful_words(record.title)]


@serve.deployment
@serve.ingress(api)
class Records:
    """Passes requests on to the routes of the FastAPI application."""


app = Records.bind()  # type: ignore[attr-defined]  # mypy ignores what class decorators return
