"""Programs of `pants test` and `pants run`: they run an image in Docker, `pants test` the way KubeRay does."""
