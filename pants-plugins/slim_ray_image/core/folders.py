"""Folders with the input of the sandbox programs, relative to their working directory."""

WHEELS = "wheels"
FILES = "files"  # first-party files
