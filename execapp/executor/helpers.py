"""The executor's helpers: a process of its own for each build and for each question to a registry.

What strangers write in definitions is read there. However long that takes, and whatever it does to
that process, executions go on.
"""

import os
import sys
import time
from collections.abc import Callable

from django.conf import settings

from sandbox.helper import Helper, HelperExit

LOOK_SECONDS = 1.0


def start(command: str, *words: str, slot: str) -> Helper:
    """Start `manage.py <command> <words>` on our data, definitions and settings."""
    argv = [sys.executable, str(settings.BASE_DIR / "manage.py"), command, *words]
    own = {
        "STENCIL_DATA": str(settings.STENCIL_DATA),
        "STENCIL_DEFINITIONS": str(settings.STENCIL_DEFINITIONS),
        "PYTHONUNBUFFERED": "1",
    }
    return Helper(argv, os.environ | own, slot=slot)


def follow(
    helper: Helper, why_stop: Callable[[float], str | None]
) -> tuple[HelperExit, str | None]:
    """Wait for its end. `why_stop` is asked about once a second with how long it runs.

    When it gives a reason the helper is killed; the reason is returned beside how it ended.
    """
    began = time.monotonic()
    reason: str | None = None
    try:
        while reason is None and not helper.wait(LOOK_SECONDS):
            reason = why_stop(time.monotonic() - began)
    finally:
        ending = helper.end()
    return ending, reason
