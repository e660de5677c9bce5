"""What the service counts of its own work, for Prometheus."""

from __future__ import annotations

from fastapi import Request
from prometheus_client import CollectorRegistry, Counter

# Of this service alone: the default registry is Ray's too.
REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "essentials_requests", "Requests that reached a route.", ["route"], registry=REGISTRY
)


def count_request(request: Request) -> None:
    """Count a request for the route that answers it."""
    REQUESTS.labels(request.scope["route"].path).inc()
