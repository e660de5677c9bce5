"""Tests of the store that need no database; tests/servers/test_examples.py has the others."""

from __future__ import annotations

import socket

import pymysql
import pytest  # pants: no-infer-dep

from services.records.store import RecordStore


def test_store_is_where_the_environment_says() -> None:
    """Each variable counts, and all but the password have a default."""
    assert RecordStore.from_environment({}) == RecordStore(
        "127.0.0.1", 3306, "records", "", "records"
    )
    environment = {
        "MARIADB_HOST": "db",
        "MARIADB_PORT": "3307",
        "MARIADB_USER": "somebody",
        "MARIADB_PASSWORD": "secret",
        "MARIADB_DATABASE": "test",
    }
    store = RecordStore("db", 3307, "somebody", "secret", "test")
    assert RecordStore.from_environment(environment) == store


def test_store_tells_that_no_database_is_there() -> None:
    """A port on which nothing listens raises PyMySQL's error, which the service reports."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = RecordStore.from_environment({"MARIADB_PORT": str(port)})
    with pytest.raises(pymysql.OperationalError, match="Connection refused"):
        store.list()
