"""How Pex is called in a sandbox: on the interpreter that the caller runs on, with its caches in the sandbox."""

from __future__ import annotations

import os
import sys


def pex_environment() -> dict[str, str]:
    """Return Pex's whole environment: the caller's, with Pex's root and home in the sandbox."""
    return {
        **os.environ,
        "PEX_ROOT": os.path.abspath(".pex"),
        "HOME": os.getcwd(),
        "PATH": "/usr/bin:/bin",
    }


def pex_command(*arguments: str) -> list[str]:
    """Return the command line of a module of Pex, as `pex.cli lock`."""
    return [sys.executable, "-m", *arguments]
