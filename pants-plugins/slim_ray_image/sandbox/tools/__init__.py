"""Programs that fetch uv and install the tools; the network of this host, indexes, and how uv and Pex are run."""
