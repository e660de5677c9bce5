"""Programs that read a base image from a registry and extract its interpreter from its layers."""
