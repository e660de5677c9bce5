"""Programs that fetch uv and install the plugin's other tools; modules for the network, indexes, uv and Pex."""
