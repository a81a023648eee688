"""How the process ends: as Python ends, less the dismantling of what only warming has loaded.

Registered before anything else, so that it is the last of the callbacks that the interpreter calls
once the threads have ended. Whatever is out of the ordinary is left to the interpreter.
"""
import atexit
import gc
import os
import sys

from . import protocol

_leave, _flush_c = os._exit, None
_status = None
_program = None
_kept = frozenset()


def install():
    """Be the last at exit."""
    atexit.register(_end)


def keep(program=None):
    """Take what is loaded now as ours: it needs no dismantling."""
    global _kept, _program
    _kept, _program = frozenset(sys.modules), program


def expect(status):
    """Say which status the process is ending with; None leaves the end to the interpreter."""
    global _status
    _status = status


def by_exit(code):
    """Say that `sys.exit(code)` is ending it."""
    if isinstance(code, int):
        expect(code & 0xFF if abs(code) < 1 << 31 else None)
    else:
        expect(0 if code is None else 1)


def _end():
    if _status is None:
        return
    try:
        _flush()
        _forget()
        _flush()
    except BaseException:
        return
    protocol.tell_exit(_status)
    _leave(_status)


def _flush():
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    if "ctypes" in sys.modules:  # without it no C library has printed for the program
        sys.modules["ctypes"].CDLL(None).fflush(None)


def _forget():
    """Let go of the program and its modules, so that what waits for that can act on it."""
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        if hasattr(sys, name):
            setattr(sys, name, None)
    for name in [name for name in sys.modules if name not in _kept]:
        del sys.modules[name]
    sys.modules.pop("__main__", None)
    if _program is not None:
        _program.namespace = None
    gc.collect()
