"""The sessions of a user, and the time of the last use of each."""

import time

from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

RESOLUTION_SECONDS = 300.0  # a polling page must not write at each request
MOST = 10_000

_written: dict[str, float] = {}  # session key → the last write of this process


def seen(request: HttpRequest) -> None:
    """Note that the session is in use, with at most one write per process in five minutes."""
    key = request.session.session_key
    now = time.monotonic()
    if key is None or now - _written.get(key, -RESOLUTION_SECONDS) < RESOLUTION_SECONDS:
        return
    if len(_written) >= MOST:
        _written.clear()
    _written[key] = now
    UserSession.objects.filter(session_key=key).update(last_seen_at=timezone.now())


def of(user: User) -> list[UserSession]:
    """Return the user's valid sessions, most recently used first."""
    rows = UserSession.objects.purge_and_list(user)
    return sorted(rows, key=lambda row: row.last_seen_at, reverse=True)


def end(user: User, *, but: str | None = None) -> int:
    """End all sessions of the user except `but`; return how many were ended."""
    rows = [row for row in UserSession.objects.filter(user=user) if row.session_key != but]
    for row in rows:
        row.end()
    return len(rows)
