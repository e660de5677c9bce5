"""The programs that run in Pants' sandboxes: the only code that touches registries, tar, gzip, wheels and bytecode.

Each program is called as `python -m slim_ray_image.sandbox.ROOM.NAME REQUEST.json`, reads its inputs from the sandbox
and writes its outputs there. Request and result are dataclasses of core. A user's mistake ends a program with exit code
`report.USER_ERROR` and the whole message on stderr.

The modules that a program imports are a part of its cache key, so the wall of a room is the wall of a cache. A room uses
the rooms below it alone (a test holds that): `base` and `wheels` use `tools`, `layers` uses `wheels`; `check`,
`image` and `smoke` use no other. The modules beside the rooms are the ground that all stand on.
"""
