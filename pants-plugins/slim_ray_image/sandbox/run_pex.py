"""How Pex is called in a sandbox: on the interpreter that the caller runs on, with its caches in the sandbox."""

from __future__ import annotations

import os


def pex_environment() -> dict[str, str]:
    """Return Pex's whole environment: the caller's, with Pex's root and home in the sandbox."""
    return {
        **os.environ,
        "PEX_ROOT": os.path.abspath(".pex"),
        "HOME": os.getcwd(),
        "PATH": "/usr/bin:/bin",
    }
