"""Whether something of the program waits for the interpreter's end.

Every object of a class written in Python is known to the collector, and so is what C has that can act when it goes, but an open folder
(`os.scandir`), which can only warn. What was there before the program is frozen (`gc.freeze`) and looked at by name. In doubt the answer
is no: the interpreter's own end is always right.
"""
import _io
import _thread
import _warnings
import _weakref
import gc
import sys

MOST_BLOCKS = 400_000  # of memory, more than what was there before the program: a longer list would cost more than the end that it spares
_STREAMS = "stdin", "stdout", "stderr"
# Callbacks of weak references that only keep containers tidy.
_TIDY = {"weakref", "_weakrefset", "functools", "logging"}
_TIDY_IN_C = {"_destroy": _weakref.ReferenceType, "clear_locals": tuple}  # of abstract classes, of threading.local
_HARMLESS = _io.StringIO, _io.BytesIO
_generator = type(item for item in ())
_builtin = type(len)
_std = {}
_blocks = 0
_mark = None
_shown = []


def remember():
    """Remember the streams that the interpreter has begun with."""
    for name in _STREAMS:
        stream = getattr(sys, name)
        if stream is not None:
            _std[name] = stream
            for part in (stream, stream.buffer, stream.buffer.raw):
                _std[id(part)] = part


def begin():
    """What is there from now on is the program's."""
    global _blocks, _mark, _shown
    _shown = _shown_warnings()
    _blocks, _mark = sys.getallocatedblocks(), [None]


def nothing():
    """Whether the process can be ended now, but for what the streams hold."""
    return _streams() and _alone() and _shown == _shown_warnings() and sys.getallocatedblocks() - _blocks < MOST_BLOCKS and _objects()


def hidden(objects=None):
    """Whether the program has taken objects out of the collector's sight."""
    return not any(item is _mark for item in objects or gc.get_objects())


def _streams():
    """The streams are those of the beginning."""
    return all(
        getattr(sys, name, None) is getattr(sys, f"__{name}__", None) is _std.get(name) for name in _STREAMS
    )


def _shown_warnings():
    """What decides whether it is shown that a folder was left open, which is ignored as a rule."""
    about = [item for item in _warnings.filters if issubclass(ResourceWarning, item[2])]
    return [item for item in about if item[0] != "ignore" or item[2] is ResourceWarning]


def _alone():
    """No thread, nobody who listens to the collector, no other interpreter, no helper process of `multiprocessing`."""
    if _thread._count() or gc.callbacks:
        return False
    for name in ("_interpreters", "_xxsubinterpreters", "multiprocessing.forkserver"):
        if name in sys.modules:
            return False
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    return tracker is None or tracker._fd is None


def _objects():
    """No object acts when it goes."""
    objects = gc.get_objects()
    if hidden(objects):
        return False
    kinds = {}
    for kind in set(map(type, objects)):
        if _acts(kind):
            kinds[kind] = _question(kind)
    return None not in kinds.values() and all(
        kinds[type(item)](item) for item in objects if type(item) in kinds
    )


def _acts(kind):
    return issubclass(kind, (_weakref.ReferenceType, _weakref.ProxyType, _weakref.CallableProxyType)) or any(
        "__del__" in base.__dict__ for base in kind.__mro__
    )


def _question(kind):
    """What tells whether one object of a kind that can act is harmless; None when none is."""
    if kind is _generator:
        return _generator_is_harmless
    if issubclass(kind, _weakref.ReferenceType):
        return _reference_is_harmless
    return _file_is_harmless if kind.__module__ == "_io" and issubclass(kind, _io._IOBase) else None


def _generator_is_harmless(item):
    return not item.gi_suspended


def _reference_is_harmless(item):
    callback = item.__callback__
    if callback is None:
        return True
    if type(callback) is _builtin:
        return isinstance(callback.__self__, _TIDY_IN_C.get(callback.__name__, ()))
    return getattr(callback, "__module__", None) in _TIDY


def _file_is_harmless(item):
    return id(item) in _std or type(item) in _HARMLESS or item.closed
