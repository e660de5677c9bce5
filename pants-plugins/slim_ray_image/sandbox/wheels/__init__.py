"""Programs that select and fetch the wheels that a lockfile pins, describe the wheels and pack them as a PEX."""
