"""Stage 3: lockfiles, package indexes and wheels; the distributions of an image, and the reasons for each."""
