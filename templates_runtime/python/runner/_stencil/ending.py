"""How the process ends: as Python ends, unless it is proven that nothing of the program waits for that.

The interpreter's own end dismantles every module, which takes longer than a small program. It matters when something acts on it: an
object with a finalizer, a buffer that is not written yet, a thread. Where the program leaves none, the process is ended at once.
"""
import atexit
import ctypes
import gc
import os
import sys

from . import frameless, pending, protocol

_leave = os._exit
_flush_c = ctypes.CDLL(None).fflush
_status = None
_installed = False
_kept = frozenset()  # modules that only warming has loaded


def install():
    """Have `_end` called at exit, after all that is registered later."""
    global _installed
    _installed = True
    atexit.register(frameless.chain(frameless.unseen(_end)))


def keep(names):
    """Take what is loaded and frozen now as ours: nobody can notice whether it is dismantled."""
    global _kept
    _kept = names


def expect(status):
    """Say which status the process is ending with; return the steps that are to be gone now, in this order.

    Where we are not the last of the callbacks already, these are what the interpreter would begin its end with, and ours then.
    """
    global _status
    _status = status
    if _installed:
        return []
    threads = [sys.modules["threading"]._shutdown] if "threading" in sys.modules else []
    return [*threads, atexit._run_exitfuncs, *frameless.unseen(_end)]


def _end():
    """Called when all threads have ended and all callbacks of the program were called."""
    if sys._getframe().f_back is not None:  # no end: the program calls what is registered
        return
    try:
        nothing = pending.nothing()
    except BaseException:
        nothing = False
    if not nothing:
        if _installed and not pending.hidden():
            gc.unfreeze()  # so that what hangs on something warm is found, too
    elif _status is None:
        _spare()
    elif _flushed():
        protocol.tell_exit(_status)
        _leave(_status)


def _flushed():
    """Write what the streams and the C library hold. What fails is for the interpreter to tell."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        return False
    return _flush_c(None) == 0


def _spare():
    """Keep the interpreter, which will end with a status that only it knows, from dismantling what is warm."""
    kept = {name: sys.modules.pop(name) for name in _kept if name in sys.modules}
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
