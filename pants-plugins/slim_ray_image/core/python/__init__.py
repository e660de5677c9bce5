"""Readers of Python sources, which are parsed, not run: their imports, uses of modules, and Serve applications.

The modules here import none from another folder of the plugin.
"""
