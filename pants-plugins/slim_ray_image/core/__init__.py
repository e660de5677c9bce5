"""All decisions of the plugin, as functions without Pants, files or network: text in, frozen dataclasses out.

Core imports only itself, the standard library, `packaging` and, in one module, PyYAML. Core never imports Pants, and
opens no file and no socket. So every decision can be tested without an engine, and the programs of `sandbox/` can use
core.

Each package is a stage of the flow. A package imports only packages after it in this list, which a test enforces:
`check`, `base`, `image`, `layers`, `wheels`, `serve` and `closure`, `python`. Every package may import the modules
beside the packages.
"""
