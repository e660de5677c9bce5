"""The pure core: JSON and text in, frozen dataclasses out.

Nothing here imports Pants, opens a file or a socket: only the standard library, `packaging`, PyYAML (in one module) and
core itself. So every decision can be tested without an engine, and the programs of `sandbox/` can share it.

Each room is a stage of the flow, and uses the rooms below it alone (a test holds that): `check`, `base`, `image`,
`layers`, `wheels`, `serve` and `closure`, `python`. The modules beside the rooms are the ground that all stand on.
"""
