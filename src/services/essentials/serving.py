"""Routes about the service itself: fastapi, uvicorn, aiohttp, psutil and prometheus_client."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import psutil
import uvicorn
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.essentials.metrics import REGISTRY, count_request
from services.essentials.settings import own_url

router = APIRouter(dependencies=[Depends(count_request)])

_TIMEOUT = aiohttp.ClientTimeout(total=10)


@router.get("/health")
def health() -> dict[str, str]:
    """Answer that the service is up."""
    return {"status": "ok"}


@router.get("/fastapi")
def list_routes(request: Request) -> dict[str, list[str]]:
    """Return the paths in the OpenAPI description that FastAPI makes of this service."""
    return {"routes": sorted(request.app.openapi()["paths"])}


async def fetch(url: str) -> dict[str, Any]:
    """Return the response of a URL, requested with aiohttp."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(url) as response:
        return {"url": url, "status": response.status, "body": await response.text()}


@router.get("/aiohttp")
async def fetch_health() -> dict[str, Any]:
    """Return the response of /health, requested over HTTP."""
    return await fetch(f"{own_url()}/health")


async def serve_once(text: str) -> dict[str, Any]:
    """Return the response of a separate uvicorn server, on a free port of this machine, that serves `text`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(PlainTextResponse(text), lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            return await fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        finally:
            server.should_exit = True
            await serving


@router.get("/uvicorn")
async def serve_text(text: str = "Hello from uvicorn") -> dict[str, Any]:
    """Serve a text with a uvicorn server beside Ray Serve's, and return the response that came over HTTP."""
    return await serve_once(text)


@router.get("/psutil")
def describe_process() -> dict[str, Any]:
    """Return facts about the process that answers, from psutil."""
    process = psutil.Process()
    return {
        "pid": process.pid,
        "uid": process.uids().real,
        "threads": process.num_threads(),
        "resident_bytes": process.memory_info().rss,
        "parents": [parent.pid for parent in process.parents()],
        "cpus": psutil.cpu_count(),
    }


@router.get("/prometheus")
def expose_metrics() -> Response:
    """Return the number of requests that each route has answered, in the text format of Prometheus."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
