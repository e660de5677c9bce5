"""Folders that programs find their input in, below their working directory."""

WHEELS = "wheels"
FILES = "files"  # first-party ones
