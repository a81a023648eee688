"""Mode `run`: the interpreter runs the entry file as its main module, with the C function that its command line uses.

The interpreter was started as `python -m …`, which calls the module `runpy`. A replacement of `runpy` runs the entry file instead. No
frame of the runner is on the stack while the program runs: see `frameless`.
"""
import ctypes
import os
import sys

from . import finalization, frameless
from .frameless import call, deque, partial

_fopen = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, use_errno=True)(("fopen", ctypes.CDLL(None)))
# The C function that runs the script named on the interpreter's command line.
_run_file = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)(
    ("PyRun_SimpleFileExFlags", ctypes.pythonapi)
)


def prepare(entry, args, workspace):
    """Make the interpreter run `entry` in the directory `workspace` as its main task. Raise OSError if `entry` cannot be opened."""
    sys.path_importer_cache[entry] = None  # as if the interpreter had already checked that it is no archive
    sys.argv[:] = [entry, *args]
    sys.orig_argv[:] = [sys.orig_argv[0], "-B", entry, *args]
    os.chdir(os.path.dirname(entry))  # the interpreter takes the first entry of sys.path from here
    results, steps = [], []
    run = partial(_run_file, _opened(entry), os.fsencode(entry), 1, None)
    steps += [
        partial(os.chdir, workspace),
        partial(sys.modules.pop, "runpy"),
        partial(deque, map(results.append, map(call, [run])), 0),
        *frameless.unseen(partial(_finish, results, steps)),
    ]
    sys.modules["runpy"] = type(sys.implementation)(_run_module_as_main=frameless.deaf(frameless.chain(steps)))


def _opened(entry):
    """Return a FILE* of the entry file, which the interpreter closes before the program starts. Raise OSError."""
    file = _fopen(os.fsencode(entry), b"rb")
    if not file:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return file


def _finish(results, steps):
    """Append the steps that end the process. Called after the program ends without `sys.exit` and its error is printed."""
    if results[-1] == 0:
        steps.extend(finalization.expect(0))
    elif type(getattr(sys, "last_exc", None)) is not KeyboardInterrupt:  # the interpreter ends by a signal after exactly this type
        steps.extend([*finalization.expect(1), partial(sys.exit, 1)])
