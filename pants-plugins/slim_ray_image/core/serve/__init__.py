"""Stage 1: read import paths, Serve configs, KubeRay manifests and `runtime_env`s, by the rules of one Ray release."""
