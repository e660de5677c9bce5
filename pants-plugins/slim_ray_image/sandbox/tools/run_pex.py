"""Call Pex in a sandbox: on the interpreter that runs the caller, with Pex's caches in the sandbox."""

from __future__ import annotations

import os
import sys


def pex_environment() -> dict[str, str]:
    """Return the complete environment for Pex: the caller's, but with PEX_ROOT and HOME in the sandbox."""
    return {
        **os.environ,
        "PEX_ROOT": os.path.abspath(".pex"),
        "HOME": os.getcwd(),
        "PATH": "/usr/bin:/bin",
    }


def pex_command(*arguments: str) -> list[str]:
    """Return the command line that runs a module of Pex.

    Args:
        arguments: The module and its arguments, such as "pex.cli", "lock".
    """
    return [sys.executable, "-m", *arguments]
