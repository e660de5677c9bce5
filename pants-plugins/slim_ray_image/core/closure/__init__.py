"""Stage 2: the first-party files and the requirements that go into an image, each with a reason; Ray's extras."""
