"""Kinds of layers, as image.json names them."""

KIND_BASE = "base"
KIND_DISTRIBUTION = "distribution"
KIND_DISTRIBUTIONS = "distributions"
KIND_FILES = "files"
KIND_PART = "part"
KIND_RUNTIME = "runtime"
KIND_SOURCES = "sources"
