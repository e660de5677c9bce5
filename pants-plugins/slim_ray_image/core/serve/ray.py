"""Values of Ray itself, and the Ray release from which they were read.

The plugin builds images of other releases too; it follows the documentation and behaviour of this one.
"""

from __future__ import annotations

VERSION = "2.48.0"
RELEASE = VERSION.rpartition(".")[0]  # major and minor version only
DOCUMENTATION = f"https://docs.ray.io/en/releases-{VERSION}"

# Ports on which Ray Serve listens by default.
SERVE_HTTP_PORT = 8000
SERVE_GRPC_PORT = 9000
