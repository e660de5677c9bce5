"""Counters of the service's own requests, for Prometheus."""

from __future__ import annotations

from fastapi import Request
from prometheus_client import CollectorRegistry, Counter

# A registry for this service alone: Ray uses the default one too.
REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "essentials_requests", "Requests that reached a route.", ["route"], registry=REGISTRY
)


def count_request(request: Request) -> None:
    """Count a request for the route that answers it."""
    REQUESTS.labels(request.scope["route"].path).inc()
