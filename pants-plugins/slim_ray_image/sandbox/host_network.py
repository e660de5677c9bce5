"""What a program must know of this host's network and leave no trace of: credentials and proxies.

All else that a program is given (arguments, environment, input files) is part of its cache key, and Pants keeps cache
keys on disk and sends them to remote caches. So Pants holds these in its own memory, in a file without a name
(https://man7.org/linux/man-pages/man2/memfd_create.2.html), and the programs that it starts read it there, through
/proc/PID/fd, which only the same user can.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import Iterator, Mapping, Optional

MEMORY_FILE = "slim-ray-image-network"


@dataclass(frozen=True)
class HostNetwork:
    """How this host reaches the network.

    Attributes:
        credentials: URL of an index or a page of links, without userinfo -> user and password.
        environment: Variables, as `https_proxy`.
    """

    credentials: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def _ancestors() -> Iterator[int]:
    """The processes above this one, nearest first."""
    pid = os.getppid()
    while pid > 1:
        yield pid
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            parent = re.search(r"^PPid:\s*(\d+)", file.read(), re.MULTILINE)
        pid = int(parent[1]) if parent else 0


def _memory_file_of(pid: int) -> Optional[str]:
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        try:
            if os.readlink(path).startswith(f"/memfd:{MEMORY_FILE} "):
                return path
        except OSError:  # closed in between
            continue
    return None


def read_host_network() -> HostNetwork:
    """Return what the Pants that started this program holds; nothing where there is no such Pants."""
    try:
        for pid in _ancestors():
            path = _memory_file_of(pid)
            if path:
                with open(path, encoding="utf-8") as file:
                    held = json.load(file)
                return HostNetwork(
                    {url: (pair[0], pair[1]) for url, pair in held["credentials"]},
                    held["environment"],
                )
    except OSError:  # no /proc, or the processes above are another user's
        pass
    return HostNetwork()
