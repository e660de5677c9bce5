"""Stage 2: the first-party files and the requirements that go into an image, each with its reason; Ray's extras."""
