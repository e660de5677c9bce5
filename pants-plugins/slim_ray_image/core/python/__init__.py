"""Reading of Python sources, without importing any: trees, imports, uses, Serve applications. Uses no other room."""
