"""The connection of a job to a Ray cluster."""
