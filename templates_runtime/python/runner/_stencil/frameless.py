"""Calls without a Python frame: what is called finds nothing of ours on its stack.

A frame of the runner below the program would show in tracebacks, `inspect.stack`, `warnings.warn(stacklevel=2)`, a crash's dump and
the depth of a recursion. So the steps are called by functions of the interpreter that are written in C.
"""
import sys

from _collections import defaultdict, deque
from _functools import partial
from _operator import call


def chain(steps):
    """A callable that calls each of `steps`, which may grow meanwhile, one after the other."""
    return partial(deque, map(call, steps), 0)


def deaf(function):
    """A callable that takes two arguments that are not True and False, and calls `function` without any."""
    results = defaultdict(function, {True: deque()})
    return partial(max, key=results.__getitem__)


def unseen(function):
    """The steps that call `function` with the program's profiler and tracer put aside."""
    kept = [], []
    return [
        partial(deque, map(kept[0].append, map(call, [sys.getprofile])), 0),
        partial(deque, map(kept[1].append, map(call, [sys.gettrace])), 0),
        partial(sys.setprofile, None),
        partial(sys.settrace, None),
        function,
        partial(deque, map(sys.settrace, kept[1]), 0),
        partial(deque, map(sys.setprofile, kept[0]), 0),
    ]
