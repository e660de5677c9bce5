"""The smallest service: Ray Serve and one shared library."""
