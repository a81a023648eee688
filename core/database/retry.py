"""Retries for the database work of long-lived threads."""

import logging
import time
from collections.abc import Callable

from django.db import InterfaceError, OperationalError, connection

from core.database.errors import passes

logger = logging.getLogger(__name__)
PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


def retry_on_lock[T](action: Callable[[], T]) -> T:
    """Return `action()`; repeat it with growing pauses while the database is locked, full or gone.

    Only for actions that are safe to repeat: reads and conditional updates. After the last pause
    (16 seconds in total) the error is raised; any other error, like a missing table, at once.
    """
    for pause in PAUSES:
        try:
            return action()
        except (OperationalError, InterfaceError) as error:
            if not passes(error):
                raise
            logger.warning("database: %s; trying again in %s s", error, pause)
            connection.close()
            time.sleep(pause)
    return action()
