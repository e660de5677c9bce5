"""The one place that knows the Pants version.

Rules are written in the call-by-name style of Pants >= 2.32, where `Get` is gone; `pants_2_17` gives 2.17 the same
names. Everything else imports from here, and nothing else asks which Pants it runs on.
"""

from __future__ import annotations

from pants.version import MAJOR_MINOR

# Call-by-name came in steps; from here on every name that `modern` imports is there.
if tuple(int(part) for part in MAJOR_MINOR.split(".")) >= (2, 30):
    from slim_ray_image.compat.modern import *  # noqa: F403
else:
    from slim_ray_image.compat.pants_2_17 import *  # noqa: F403
