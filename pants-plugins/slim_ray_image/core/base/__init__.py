"""The base image: which image of a registry or a layout, and the facts of its files that a build needs."""
