"""Real database servers for the tests, on an address of this machine that Docker's containers can reach.

Each server has its data in a folder of the test run and listens on a free port; the system's own servers are not used.
PostgreSQL refuses to run as root, so if the tests run as root, the servers run as the users that their packages create.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Mapping, Sequence

from harness.registry import free_port

USER, PASSWORD, DATABASE = "tester", "secret-of-the-tests", "examples"
_START_SECONDS = 60
_INIT_MARIADB = f"""\
CREATE DATABASE IF NOT EXISTS {DATABASE};
CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON {DATABASE}.* TO '{USER}'@'%';
"""


class _Server:
    """A running server.

    Attributes:
        address: IP address that the server listens on.
        port: Free port that the server listens on.
    """

    _end_signal = signal.SIGTERM

    def __init__(self, account: str, folder: Path, address: str) -> None:
        self.address = address
        self.port = free_port(address)
        self._folder = folder
        self._log = folder / "log"
        self._account: Mapping[str, Any] = {}
        folder.mkdir()
        if os.geteuid() == 0:
            entry = pwd.getpwnam(account)
            self._account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(folder, entry.pw_uid, entry.pw_gid)

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._account,
            )

    def _run(self, *command: str) -> int:
        return self._start(command).wait(_START_SECONDS)

    def _prepare(self, *command: str) -> None:
        """Run a program that creates the server's data; the program must succeed."""
        assert self._run(*command) == 0, f"{command[0]}:\n{self._log.read_text()}"

    def _serve(self, command: Sequence[str], is_ready: Sequence[str]) -> None:
        """Start the server, and return as soon as the program `is_ready` exits with 0."""
        self._process = self._start(command)
        # If this run of the tests is killed, the next one ends the server by this file.
        (self._folder / "pid").write_text(str(self._process.pid))
        until = time.monotonic() + _START_SECONDS
        while self._run(*is_ready) != 0:
            if self._process.poll() is not None or time.monotonic() > until:
                self.close()
                raise AssertionError(f"{command[0]}:\n{self._log.read_text()}")
            time.sleep(0.2)

    def close(self) -> None:
        self._process.send_signal(self._end_signal)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class PostgreSQL(_Server):
    """A PostgreSQL server where `USER` may do everything. `programs` is the folder of its programs, such as initdb."""

    _end_signal = signal.SIGINT  # The "fast" shutdown does not wait for clients to disconnect.

    def __init__(self, programs: Path, folder: Path, address: str) -> None:
        super().__init__("postgres", folder, address)
        data, password = folder / "data", folder / "password"
        password.write_text(f"{PASSWORD}\n")
        password.chmod(0o644)
        self._prepare(
            *(f"{programs}/initdb", "-D", str(data), "--no-sync", "--encoding=UTF8"),
            *("--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}"),
        )
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        where = ("-h", address, "-p", str(self.port))
        self._serve(
            [f"{programs}/postgres", "-D", str(data), "-F", *where, "-k", str(folder)],
            [f"{programs}/pg_isready", *where],
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the example essentials reads."""
        dsn = f"postgresql://{USER}:{PASSWORD}@{self.address}:{self.port}/postgres"
        return {"POSTGRES_DSN": dsn}


class MariaDB(_Server):
    """A MariaDB server with an empty database `DATABASE`, which belongs to `USER`.

    `server`, `install` and `admin` are the paths of its programs.
    """

    def __init__(self, server: str, install: str, admin: str, folder: Path, address: str) -> None:
        super().__init__("mysql", folder, address)
        data, statements = folder / "data", folder / "init.sql"
        statements.write_text(_INIT_MARIADB)
        statements.chmod(0o644)
        self._prepare(
            install, "--no-defaults", f"--datadir={data}", "--skip-test-db", "--skip-name-resolve"
        )
        socket = f"--socket={folder}/socket"
        self._serve(
            [
                *(server, "--no-defaults", f"--datadir={data}", socket, f"--pid-file={data}/pid"),
                *(f"--bind-address={address}", f"--port={self.port}", "--skip-name-resolve"),
                f"--init-file={statements}",
            ],
            [
                *(admin, "--no-defaults", f"--host={address}", f"--port={self.port}"),
                *(f"--user={USER}", f"--password={PASSWORD}", "ping"),
            ],
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the example records reads."""
        return {
            "MARIADB_HOST": self.address,
            "MARIADB_PORT": str(self.port),
            "MARIADB_USER": USER,
            "MARIADB_PASSWORD": PASSWORD,
            "MARIADB_DATABASE": DATABASE,
        }
