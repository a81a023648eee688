"""The rate limit of requests: a token bucket for each API token, which holds a minute's requests.

The buckets are in memory, so that a request costs no query; each web process counts for itself. A
token with a limit of its own is counted in a row instead, exactly and for all processes.
"""

import math
import threading
import time
import uuid
from dataclasses import dataclass

from django.conf import settings

from execapp.models import ApiToken
from execapp.services import request_meter

WINDOW = 60.0  # seconds in which an empty bucket is full again
FORGET_ABOVE = 10_000  # buckets; those that are full again hold nothing worth keeping


@dataclass(frozen=True, kw_only=True)
class RateLimitStatus:
    """What a token has left after a request, and seconds until its bucket is full."""

    limit: int
    remaining: int
    reset_seconds: int
    retry_seconds: int = 0  # more than 0: the request is refused; try again after them

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of a reply."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class TokenBuckets:
    """Token buckets, one for each API token. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[uuid.UUID, tuple[float, float]] = {}  # requests left, and when

    def take(self, key: uuid.UUID, *, limit: int, now: float) -> RateLimitStatus:
        """Count one request; a refused one costs nothing."""
        with self._lock:
            if len(self._left) > FORGET_ABOVE:
                self._left = {
                    other: seen for other, seen in self._left.items() if now - seen[1] < WINDOW
                }
            left, at = self._left.get(key, (float(limit), now))
            left = min(float(limit), left + (now - at) * limit / WINDOW)
            allowed = left >= 1.0
            left -= 1.0 if allowed else 0.0
            self._left[key] = left, now
        short = 0.0 if allowed else 1.0 - left
        return RateLimitStatus(
            limit=limit,
            remaining=math.floor(left),
            reset_seconds=math.ceil((limit - left) * WINDOW / limit),
            retry_seconds=math.ceil(short * WINDOW / limit),
        )


_buckets = TokenBuckets()


def take(token: ApiToken) -> RateLimitStatus | None:
    """Count one request of a token; None when neither it nor the setting sets a limit."""
    if token.requests_per_minute is not None:
        return _take_row(token.id, token.requests_per_minute)
    limit = settings.STENCIL_RATE_PER_MINUTE
    if not limit:
        return None
    return _buckets.take(token.id, limit=limit, now=time.monotonic())


def _take_row(token_id: uuid.UUID, limit: int) -> RateLimitStatus:
    admitted, busy = request_meter.take(token_id, limit)
    cost, second = request_meter.WINDOW_NS // limit, 1_000_000_000
    room = request_meter.WINDOW_NS - busy
    return RateLimitStatus(
        limit=limit,
        remaining=max(0, room // cost),
        reset_seconds=math.ceil(busy / second),
        retry_seconds=0 if admitted else max(1, math.ceil((cost - room) / second)),
    )
