"""Wake-ups, cancellations and waiting, through the engine that STENCIL_ENGINE names.

Services announce committed work with `wake_on_commit`; nothing else in a service, view or command
needs to know of executors. See docs/how-to/add-an-engine.md.
"""

import functools
import uuid

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import transaction
from django.utils.module_loading import import_string

from core.engine.base import BaseEngine, Hub, Receiver
from core.engine.protocol import WakeKind

ENGINES = {
    "local": "core.engine.local.engine.LocalEngine",
    "memory": "core.engine.memory.MemoryEngine",
}


def get_engine() -> BaseEngine:
    """Return the engine of this process, made once. Raises ImproperlyConfigured."""
    return _make(settings.STENCIL_ENGINE)


def wake_on_commit(kind: WakeKind) -> None:
    """Wake executors for this kind of work once the open transaction is committed.

    An engine's failure is logged only: the rows are committed, and executors look at intervals.
    """
    transaction.on_commit(functools.partial(_wake, kind), robust=True)


def begin_on_commit(waits: Hub, execution_id: uuid.UUID) -> None:
    """Wake executors and begin a wait in one message, once the open transaction is committed."""
    transaction.on_commit(functools.partial(waits.begin, execution_id), robust=True)


def cancel_on_commit(execution_id: uuid.UUID) -> None:
    """Tell the executor of an execution to end it, once the open transaction is committed."""
    transaction.on_commit(functools.partial(_cancel, execution_id), robust=True)


def _wake(kind: WakeKind) -> None:
    get_engine().wake(kind)


def _cancel(execution_id: uuid.UUID) -> None:
    get_engine().cancel(execution_id)


@functools.cache
def _make(name: str) -> BaseEngine:
    path = ENGINES.get(name, name)
    try:
        made = import_string(path)()
    except Exception as error:
        message = f"STENCIL_ENGINE names {name!r}, which cannot be made: {error}"
        raise ImproperlyConfigured(message) from error
    if not isinstance(made, BaseEngine):
        message = f"STENCIL_ENGINE names {name!r}, which is no core.engine.BaseEngine."
        raise ImproperlyConfigured(message)
    return made


def _forget(*, setting: str, **_kwargs: object) -> None:
    """Receive `setting_changed`: a test that changes the setting gets a new engine."""
    if setting == "STENCIL_ENGINE":
        _make.cache_clear()


setting_changed.connect(_forget, dispatch_uid="core.engine")

__all__ = [
    "BaseEngine",
    "Hub",
    "Receiver",
    "WakeKind",
    "begin_on_commit",
    "cancel_on_commit",
    "get_engine",
    "wake_on_commit",
]
