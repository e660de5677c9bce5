"""The command line and the environment of Pex in a sandbox: the caller's interpreter, and caches in the sandbox."""

from __future__ import annotations

import os
import sys


def pex_environment() -> dict[str, str]:
    """Return environment variables for Pex: the caller's, with a fixed PATH, and PEX_ROOT and HOME in the sandbox."""
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
