"""Programs of `pants test`: they run an image in Docker the way KubeRay does."""
