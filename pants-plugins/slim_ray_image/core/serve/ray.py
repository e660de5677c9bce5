"""The Ray release whose documentation and behaviour the plugin follows, and Ray Serve's default ports.

The plugin builds images of other releases too.
"""

from __future__ import annotations

VERSION = "2.48.0"
RELEASE = VERSION.rpartition(".")[0]  # major and minor version only
DOCUMENTATION = f"https://docs.ray.io/en/releases-{VERSION}"

# Ports on which Ray Serve listens by default.
SERVE_HTTP_PORT = 8000
SERVE_GRPC_PORT = 9000
