"""Stage 3: locks, indexes and wheels; the distributions of an image, and who requires each."""
