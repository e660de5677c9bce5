"""Stage 2: the first-party files, requirements and extras of Ray that go into an image, each with a reason."""
