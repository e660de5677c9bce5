"""Programs from a lock to wheels, and from wheels to a PEX."""
