"""A server for Pants' remote caching on this machine: buildbox-casd (https://gitlab.com/BuildGrid/buildbox/buildbox).

Protocol: https://github.com/bazelbuild/remote-apis, `ContentAddressableStorage` and `ActionCache`.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Mapping

from harness.registry import free_port
from harness.repository import PantsRun

_START_SECONDS = 30


def counters(run: PantsRun) -> Mapping[str, int]:
    """Return the counters that `--stats-log` printed, by name."""
    found = re.findall(r"^ +(\w+): (\d+)$", run.output, re.MULTILINE)
    return {name: int(number) for name, number in found}


class RemoteCache:
    """The server, which runs until `close`. `program` is the path of buildbox-casd."""

    def __init__(self, program: str, folder: Path) -> None:
        self._port = free_port()
        folder.mkdir()
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "--bind", f"127.0.0.1:{self._port}", str(folder / "cas")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.close()
                raise AssertionError((folder / "log").read_text())
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self._port)) == 0

    @property
    def options(self) -> tuple[str, ...]:
        """The options by which Pants uses this server and prints `counters`."""
        return (f"--remote-store-address=grpc://127.0.0.1:{self._port}", "--stats-log")

    def close(self) -> None:
        """Kill the server at once, like a machine that loses power."""
        self._process.kill()
        self._process.wait()
