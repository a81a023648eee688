"""The database as long-lived threads use it: one connection each, patient when it is locked."""

import logging
import time
from collections.abc import Callable

from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)
PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


def patiently[T](action: Callable[[], T]) -> T:
    """`action()`, tried again with growing pauses while the database is locked or gone.

    Only for actions that are safe to repeat: reads, and conditional updates.
    """
    for pause in PAUSES:
        try:
            return action()
        except (OperationalError, InterfaceError) as error:
            logger.warning("database: %s; trying again in %s s", error, pause)
            connection.close()
            time.sleep(pause)
    return action()


def release() -> None:
    """Close this thread's connection; at the end of every thread that used one."""
    connection.close()
