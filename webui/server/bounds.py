"""The bounds of the web server: seconds, bytes and numbers."""

import resource
from dataclasses import dataclass

from django.conf import settings

SPARE_DESCRIPTORS = 256  # databases, static files, the link to the executor


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds. Deadlines in seconds count from a start; arriving bytes do not extend them."""

    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    write_seconds: float = 30.0  # for each 64 KiB of a reply
    linger_seconds: float = 5.0  # to send the buffer of a closed connection
    grace_seconds: float = 2.0  # of a new state; during it only `connections` evicts
    drain_seconds: float = 5.0  # to read the rest of a refused body
    drain_bytes: int = 128 * 1024 * 1024
    header_bytes: int = 64 * 1024
    connections: int = 8000
    idle: int = 2000  # between two requests
    half: int = 1000  # with an incomplete request
    half_of_address: int = 256  # 0 behind a proxy: no bound for each address
    body_bytes: int = 10_000_000  # one body
    bodies_bytes: int = 256 * 1024 * 1024  # total of all bodies above 64 KiB
    bodies_of_address: int = 128 * 1024 * 1024  # 0 behind a proxy: no bound for each address
    queue: int = 1000  # complete requests that wait for a thread
    threads: int = 32
    busy_threads: int = 1  # of them, that run short work at a time


def from_settings() -> Bounds:
    """Return the bounds of the settings, with no more connections than descriptors."""
    connections = min(settings.STENCIL_CONNECTIONS, _descriptors() - SPARE_DESCRIPTORS)
    return Bounds(
        header_seconds=settings.STENCIL_HEADER_SECONDS,
        body_seconds=settings.STENCIL_BODY_SECONDS,
        idle_seconds=settings.STENCIL_IDLE_SECONDS,
        connections=connections,
        idle=max(1, connections // 4),
        half=max(1, connections // 8),
        half_of_address=0 if settings.STENCIL_PROXIES else max(1, connections // 32),
        bodies_of_address=0 if settings.STENCIL_PROXIES else Bounds.bodies_of_address,
        body_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    )


def _descriptors() -> int:
    """Raise the limit of open descriptors as far as needed and allowed; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.STENCIL_CONNECTIONS + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft
