"""The connection of a job to Ray, for as long as the job runs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Iterator

import ray


@contextmanager
def connected() -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or start a Ray for this job alone; disconnect at the end.

    The job's own Ray has no dashboard, since its start would take longer than a small job.
    """
    if os.environ.get("RAY_ADDRESS"):
        ray.init()
    else:
        ray.init(include_dashboard=False)
    try:
        yield
    finally:
        ray.shutdown()
