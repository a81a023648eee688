"""End the process: skip the interpreter's finalization where it is proven to have no effect.

Finalization destroys every module, which takes longer than a small program runs. It has an effect if the program leaves an object
with a finalizer, an unwritten buffer or a thread. If the program leaves none of these, the process exits immediately.
"""
import atexit
import ctypes
import gc
import os
import sys

from . import frameless, pending, protocol

_leave = os._exit
_flush_c = ctypes.CDLL(None).fflush
_keep_alive = ctypes.pythonapi.Py_IncRef
# The file of the interpreter's function that joins the threads.
_THREADING = f"{os.__file__.removesuffix('os.py')}threading.py"
_status = None
_installed = False
_silent = False
_kept = frozenset()  # names of the modules that only preloading has loaded


def install():
    """Register `_end` with `atexit`. It runs after all callbacks that are registered later."""
    global _installed
    _installed = True
    atexit.register(frameless.chain(frameless.unseen(_end)))


def keep(names):
    """Record `names` as preloaded modules: no program can observe whether they are destroyed at exit."""
    global _kept
    _kept = names


def expect(status):
    """Record the exit status of the process; return the steps to call now, in this order.

    If `_end` is registered with `atexit`, or the program has replaced the function that joins the threads, the list is empty. Otherwise the steps are the first steps of the interpreter's finalization
    (join the threads, call the `atexit` callbacks), followed by `_end`.
    """
    global _status
    _status = status
    if _installed:
        return []
    threads = []
    if "threading" in sys.modules:
        threads.append(getattr(sys.modules["threading"], "_shutdown", None))
        code = getattr(threads[0], "__code__", None)
        if getattr(code, "co_filename", None) != _THREADING:  # the interpreter calls it, and reports its error
            return []
    return [*threads, atexit._run_exitfuncs, *frameless.unseen(_end)]


def expect_silently(status):
    """Record the exit status of tests, which the report tells the host: no message is sent at the end."""
    global _status, _silent
    if _installed:
        _status, _silent = status, True


def _end():
    """End the process if possible. Called after all threads have ended and all `atexit` callbacks of the program have run."""
    try:
        if sys._getframe().f_back is not None:  # not at exit: the program itself calls the registered callbacks
            return
        nothing = pending.nothing()
    except BaseException:  # for example of an audit hook
        nothing = False
    if not nothing:
        if _installed:
            _unfreeze()
    elif _status is None:
        _spare()
    elif _flushed() and not (_silent and hasattr(sys, "last_exc")):  # an error came after the tests
        if not _silent:
            protocol.report_exit(_status)
        _leave(_status)


def _unfreeze():
    """Let the collector also find objects that a preloaded object refers to. Do nothing if the program has hidden objects itself."""
    try:
        if pending.hidden():
            return
    except BaseException:
        pass
    gc.unfreeze()


def _flushed():
    """Flush the Python streams and the C streams; return False on an error, which the interpreter then reports."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        return False
    return _flush_c(None) == 0


def _spare():
    """Prevent the interpreter from destroying the preloaded modules at exit.

    Used when the runner does not know the exit status, so that the interpreter must end the process.
    """
    kept = {name: sys.modules.pop(name) for name in _kept if name in sys.modules}
    _keep_alive(ctypes.py_object(kept))
