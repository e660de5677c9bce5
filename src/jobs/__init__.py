"""Ray jobs: programs that run to their end."""
