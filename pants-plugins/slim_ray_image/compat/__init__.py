"""The only package of the plugin whose code depends on the version of Pants.

Rules are written in the call-by-name style of Pants >= 2.32, which removed `Get`; `pants_2_17` provides the same names
on Pants 2.17. All other modules import from here and never ask for the Pants version.
"""

from __future__ import annotations

from pants.version import MAJOR_MINOR

# Pants introduced call-by-name in steps; since 2.30 it has every name that `modern` imports.
if tuple(int(part) for part in MAJOR_MINOR.split(".")) >= (2, 30):
    from slim_ray_image.compat.modern import *  # noqa: F403
else:
    from slim_ray_image.compat.pants_2_17 import *  # noqa: F403
