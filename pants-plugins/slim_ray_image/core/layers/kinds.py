"""Names of the kinds of layers of an image, such as `sources`, as image.json spells them."""

KIND_BASE = "base"
KIND_DISTRIBUTION = "distribution"
KIND_DISTRIBUTIONS = "distributions"
KIND_FILES = "files"
KIND_PART = "part"
KIND_RUNTIME = "runtime"
KIND_SOURCES = "sources"
