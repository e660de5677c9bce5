"""Stage 1: what a target serves. Import paths, Serve configs, KubeRay manifests, `runtime_env`, the release of Ray."""
