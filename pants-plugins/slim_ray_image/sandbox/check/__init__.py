"""Programs of `pants check`: list, unpack and import the content of layers."""
