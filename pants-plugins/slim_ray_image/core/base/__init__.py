"""The base image: its manifest in a registry or a layout, and the facts of its files that a build needs."""
