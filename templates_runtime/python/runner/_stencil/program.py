"""Mode `run`: the interpreter itself runs the entry file as its main module, by the function that its command line uses.

It was started as `python -m …`, for which it asks the module `runpy`; a stand-in for that has it run the file instead. Nothing of
ours is on the stack while the program runs: see `frameless`.
"""
import ctypes
import os
import sys

from . import ending, frameless
from .frameless import call, deque, partial

_fopen = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, use_errno=True)(("fopen", ctypes.CDLL(None)))
# What the interpreter runs the file of its command line with.
_run_file = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)(
    ("PyRun_SimpleFileExFlags", ctypes.pythonapi)
)


def prepare(entry, args, workspace):
    """Have the interpreter run `entry`, in `workspace`, when it turns to its task."""
    sys.path_importer_cache[entry] = None  # as if it had been looked at for an archive
    sys.argv[:] = [entry, *args]
    sys.orig_argv[:] = [sys.orig_argv[0], "-B", entry, *args]
    os.chdir(os.path.dirname(entry))  # from where the interpreter takes the first place of sys.path
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
    """A FILE* of the entry file, which the interpreter closes before the program begins. OSError."""
    file = _fopen(os.fsencode(entry), b"rb")
    if not file:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return file


def _finish(results, steps):
    """The program has ended without `sys.exit`, and what was to be said of an error is said."""
    if results[-1] == 0:
        steps.extend(ending.expect(0))
    elif not isinstance(getattr(sys, "last_exc", None), KeyboardInterrupt):  # that ends by a signal
        steps.extend([*ending.expect(1), partial(sys.exit, 1)])
