"""Folders in which a program in a Pants sandbox finds wheels and first-party files, below its working directory."""

WHEELS = "wheels"
FILES = "files"  # first-party files
