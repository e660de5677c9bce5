"""A stand-in for Pants: a process that keeps network settings in memory and starts programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping, Sequence

from conftest import PYTHONPATH

from slim_ray_image.core.wire import to_json
from slim_ray_image.sandbox.tools.host_network import MEMORY_FILE

_HOLD = """\
import ctypes, os, subprocess, sys
name, content, *command = sys.argv[1:]
os.write(ctypes.CDLL(None).memfd_create(name.encode(), 1), content.encode())
sys.exit(subprocess.run(command).returncode)
"""


def run_program_below(
    program: str,
    request: Any,
    environment: Mapping[str, str],
    credentials: Sequence[Any] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program of `sandbox/` in the working directory, as a child of a process with network settings in memory.

    Args:
        program: Module below `slim_ray_image.sandbox`, such as `tools.fetch_uv`.
        request: The dataclass that the program reads.
        environment: Variables of the network settings, such as `https_proxy`.
        credentials: Pairs of a URL and its user and password.
    """
    Path("request.json").write_text(to_json(request), encoding="utf-8")
    held = json.dumps({"credentials": credentials, "environment": environment})
    command = [sys.executable, "-B", "-m", f"slim_ray_image.sandbox.{program}", "request.json"]
    return subprocess.run(
        [sys.executable, "-c", _HOLD, MEMORY_FILE, held, *command],
        env={"PYTHONPATH": PYTHONPATH, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
