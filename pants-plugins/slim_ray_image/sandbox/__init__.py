"""Programs that run in Pants' sandboxes: the only code that reads or writes registries, tar, gzip, wheels and bytecode.

Each program is called as `python -m slim_ray_image.sandbox.ROOM.NAME REQUEST.json`, reads its inputs from the sandbox
and writes its outputs there. Request and result are dataclasses of core. A user's mistake ends a program with exit code
`report.USER_ERROR` and the whole message on stderr.

The modules that a program imports are part of its cache key, so an import from another room makes changes there
invalidate this room's caches. A test checks which rooms a room may import: `base` and `wheels` import `tools`, and
`layers` imports `wheels`; `check`, `image` and `smoke` import no other room. Every room may import the modules beside
the rooms.
"""
