"""Programs that select and fetch the wheels of a lock, describe them and pack them as a PEX."""
