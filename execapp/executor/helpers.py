"""Helper processes: the executor starts one for each build and for each lookup.

A helper reads untrusted definitions. Executions continue even if the helper hangs or crashes
(decision 0019).
"""

import os
import sys
import time
from collections.abc import Callable

from django.conf import settings

from sandbox.helper import Helper, HelperExit

LOOK_SECONDS = 1.0


def start(command: str, *words: str, slot: str) -> Helper:
    """Start `manage.py <command> <words>` with the data and settings of this process."""
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
    """Wait for the end of a helper; return its exit, and the reason for killing it or None.

    Call `why_stop` about once a second with the helper's running time in seconds. If it returns a
    reason, kill the helper.
    """
    began = time.monotonic()
    reason: str | None = None
    try:
        while reason is None and not helper.wait(LOOK_SECONDS):
            reason = why_stop(time.monotonic() - began)
    finally:
        helper_exit = helper.end()
    return helper_exit, reason
