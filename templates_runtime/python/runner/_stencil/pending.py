"""Decide whether the interpreter's finalization would have an effect on the objects of the program.

The garbage collector tracks every object of a class written in Python. It also tracks all C objects with an effect on destruction,
except an open directory (`os.scandir`), which can only warn. Objects older than the program are frozen (`gc.freeze`) and checked by
name. In doubt, the interpreter finalizes: its finalization is always correct.
"""
import _io
import _thread
import _warnings
import _weakref
import gc
import sys

MOST_BLOCKS = 400_000  # allocated since the start of the program: checking more objects would take longer than finalization
# The standard streams of the interpreter, and the types of their layers.
_STREAMS = {
    "stdin": (_io.TextIOWrapper, _io.BufferedReader, _io.FileIO),
    "stdout": (_io.TextIOWrapper, _io.BufferedWriter, _io.FileIO),
    "stderr": (_io.TextIOWrapper, _io.BufferedWriter, _io.FileIO),
}
_LAYERS = "buffer", "raw"
# Modules whose weak reference callbacks only remove dead entries from containers.
_TIDY = {"weakref", "_weakrefset", "functools", "logging"}
_TIDY_IN_C = {"_destroy": _weakref.ReferenceType, "clear_locals": tuple}  # of abstract classes, of threading.local
_HARMLESS = _io.StringIO, _io.BytesIO
_generator = type(item for item in ())
_builtin = type(len)
_blocks = 0
_mark = None
_shown = []


def begin():
    """Mark the start of the program: all objects created from now on belong to it."""
    global _blocks, _mark, _shown
    _shown = _shown_warnings()
    _blocks, _mark = sys.getallocatedblocks(), [None]


def nothing():
    """Return whether finalization would have no effect, apart from flushing the streams."""
    streams = _standard_streams()
    if streams is None or not _alone() or _modules_act():
        return False
    return _shown == _shown_warnings() and sys.getallocatedblocks() - _blocks < MOST_BLOCKS and _objects(streams)


def hidden(objects=None):
    """Return whether the program has hidden objects from the garbage collector, for example with `gc.freeze`."""
    return not any(item is _mark for item in objects or gc.get_objects())


def _standard_streams():
    """Return all layers of the standard streams. A flush is all that their destruction does.

    Return None if a stream is replaced or has other layers. Raise ValueError if a layer is detached.
    """
    parts = []
    for name, kinds in _STREAMS.items():
        part = getattr(sys, name, None)
        if part is not getattr(sys, f"__{name}__", None):
            return None
        if part is None:
            continue
        for index, kind in enumerate(kinds):
            if type(part) is not kind:
                return None
            parts.append(part)
            part = getattr(part, _LAYERS[index]) if index < len(_LAYERS) else None
    return parts


def _shown_warnings():
    """Return the warning filters that decide whether an open directory is reported. By default this warning is ignored."""
    about = [item for item in _warnings.filters if issubclass(ResourceWarning, item[2])]
    return [item for item in about if item[0] != "ignore" or item[2] is ResourceWarning]


def _alone():
    """Return whether there is no thread, collector callback, subinterpreter or helper process of `multiprocessing`."""
    if _thread._count() or gc.callbacks:
        return False
    for name in ("_interpreters", "_xxsubinterpreters", "multiprocessing.forkserver"):
        if name in sys.modules:
            return False
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    return tracker is None or tracker._fd is None


def _modules_act():
    """Return whether a module has a type with a finalizer. The program can change the type of a module that is older than it."""
    return any(map(_acts, set(map(type, sys.modules.values()))))


def _objects(streams):
    """Return whether no object of the program, apart from the standard `streams`, has an effect on destruction."""
    objects = gc.get_objects()
    if hidden(objects):
        return False
    kinds = {}
    for kind in set(map(type, objects)):
        if _acts(kind):
            kinds[kind] = _question(kind, streams)
    return None not in kinds.values() and all(
        kinds[type(item)](item) for item in objects if type(item) in kinds
    )


def _acts(kind):
    return issubclass(kind, (_weakref.ReferenceType, _weakref.ProxyType, _weakref.CallableProxyType)) or any(
        "__del__" in base.__dict__ for base in kind.__mro__
    )


def _question(kind, streams):
    """Return the predicate that tells whether an object of the type `kind` is harmless; None if no such object is."""
    if kind is _generator:
        return _generator_is_harmless
    if issubclass(kind, _weakref.ReferenceType):
        return _reference_is_harmless
    if kind.__module__ == "_io" and issubclass(kind, _io._IOBase):
        return lambda item: _file_is_harmless(item, streams)
    return None


def _generator_is_harmless(item):
    return not item.gi_suspended


def _reference_is_harmless(item):
    callback = item.__callback__
    if callback is None:
        return True
    if type(callback) is _builtin:
        return isinstance(callback.__self__, _TIDY_IN_C.get(callback.__name__, ()))
    return getattr(callback, "__module__", None) in _TIDY


def _file_is_harmless(item, streams):
    return any(item is part for part in streams) or type(item) in _HARMLESS or item.closed
