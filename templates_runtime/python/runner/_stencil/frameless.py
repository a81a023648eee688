"""Call functions without a Python frame of the runner on the stack.

A frame of the runner below the program would be visible in tracebacks, `inspect.stack`, `warnings.warn(stacklevel=2)`, crash dumps and
the recursion depth. Functions of the interpreter that are written in C call the steps instead.
"""
import sys

from _collections import defaultdict, deque
from _functools import partial
from _operator import call


def chain(steps):
    """Return a callable that calls each of `steps` in order. A step may append further steps."""
    return partial(deque, map(call, steps), 0)


def deaf(function):
    """Return a callable that takes two arguments, ignores them and calls `function` without arguments.

    The two arguments must not be True and False.
    """
    results = defaultdict(function, {True: deque()})
    return partial(max, key=results.__getitem__)


def unseen(function):
    """Return the steps that call `function` while the program's profile and trace functions are removed, and then restore them."""
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
