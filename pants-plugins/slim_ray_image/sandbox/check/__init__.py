"""Programs of `pants check`: list, unpack and import what layers hold."""
