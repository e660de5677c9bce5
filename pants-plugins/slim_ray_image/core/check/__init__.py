"""`pants check` and `pants test`: what an image must have, import and answer, as KubeRay uses it."""
