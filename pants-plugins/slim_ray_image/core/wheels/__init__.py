"""Stage 3: locks, indexes and wheels; the distributions of an image, and the reasons that each is in it."""
