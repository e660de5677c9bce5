"""Two drivers that share one image."""
