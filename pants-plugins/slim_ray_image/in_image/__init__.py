"""Programs that are copied into the image and run there on the base image's Python, with only its standard library.

None of them imports a module of the plugin; the docstring of each names its caller.
"""
