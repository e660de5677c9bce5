"""Ray Serve applications: one directory, one image."""
