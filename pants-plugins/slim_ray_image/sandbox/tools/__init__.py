"""Programs that fetch uv and install the tools; modules for this host's network, for indexes, and to run uv and Pex."""
