"""The program that writes an image as one file, for `docker load`."""
