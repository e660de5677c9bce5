"""The table of records in MariaDB."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Mapping

import pymysql
from pymysql.cursors import DictCursor

_SECONDS = 10
_TABLE = """
CREATE TABLE IF NOT EXISTS records (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    title varchar(200) NOT NULL,
    created timestamp NOT NULL DEFAULT current_timestamp
) CHARACTER SET utf8mb4
"""


@dataclass(frozen=True)
class RecordStore:
    """Records in one database of a MariaDB server. Each operation opens a connection and a transaction of its own."""

    host: str
    port: int
    user: str
    password: str
    database: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> RecordStore:
        """Return the store that the variables MARIADB_... describe; all but the password have a default."""
        return cls(
            host=environment.get("MARIADB_HOST", "127.0.0.1"),
            port=int(environment.get("MARIADB_PORT", "3306")),
            user=environment.get("MARIADB_USER", "records"),
            password=environment.get("MARIADB_PASSWORD", ""),
            database=environment.get("MARIADB_DATABASE", "records"),
        )

    def _execute(self, statement: str, *values: Any) -> tuple[int, list[dict[str, Any]]]:
        """Return the id of the row that a statement inserted, and the rows that it returned."""
        connection = pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=self.database,
            connect_timeout=_SECONDS,
            cursorclass=DictCursor,
        )
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = list(cursor.fetchall())
            connection.commit()
            return cursor.lastrowid, rows

    def create_table(self) -> None:
        """Create the table of records if it does not exist."""
        self._execute(_TABLE)

    def insert(self, title: str) -> int:
        """Insert a record and return its id."""
        row_id, _ = self._execute("INSERT INTO records (title) VALUES (%s)", title)
        return row_id

    def list(self) -> list[dict[str, Any]]:
        """Return all records, the oldest first."""
        _, rows = self._execute("SELECT id, title, created FROM records ORDER BY id")
        return rows
