"""Values of Ray itself, and the release that they are of.

The plugin builds images of other releases too; this is the one whose documentation and behaviour it follows.
"""

from __future__ import annotations

VERSION = "2.48.0"
RELEASE = VERSION.rpartition(".")[0]  # as people name it
DOCUMENTATION = f"https://docs.ray.io/en/releases-{VERSION}"

# Where Ray Serve listens unless its config says otherwise.
SERVE_HTTP_PORT = 8000
SERVE_GRPC_PORT = 9000
