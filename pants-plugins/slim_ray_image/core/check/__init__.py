"""`pants check` and `pants test`: the files, imports and HTTP answers that KubeRay needs of an image."""
