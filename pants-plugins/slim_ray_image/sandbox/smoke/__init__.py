"""Programs of `pants test`: an image in Docker, as KubeRay runs it."""
