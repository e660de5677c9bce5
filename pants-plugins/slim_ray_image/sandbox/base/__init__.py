"""Programs that read a base image from a registry and take its interpreter out of its layers."""
