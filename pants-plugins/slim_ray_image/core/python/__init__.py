"""Readers of Python sources, which import none: trees, imports, uses, Serve applications. Uses no other room."""
