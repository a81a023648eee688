"""Call functions without a Python frame of the runner on the stack.

A frame of the runner below the program would be visible in tracebacks, `inspect.stack`, `warnings.warn(stacklevel=2)`, crash dumps and
the recursion depth. Functions of the interpreter that are written in C call the steps instead.
"""
import sys

from _collections import defaultdict, deque
from _functools import partial
from _operator import call, is_not
from itertools import compress, repeat

TOOLS = 6  # of `sys.monitoring`, by number

_is_set = partial(is_not, None)


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
    """Return the steps that call `function` while the program's profile, trace and monitoring functions are off, and then restore them.

    A function that the program has not set is not changed, because an audit hook of the program would see the change.
    """
    profilers, tracers, tools, events = [], [], [], []
    return [
        partial(profilers.extend, filter(_is_set, map(call, [sys.getprofile]))),
        partial(tracers.extend, filter(_is_set, map(call, [sys.gettrace]))),
        partial(tools.extend, filter(sys.monitoring.get_tool, range(TOOLS))),
        partial(events.extend, map(sys.monitoring.get_events, tools)),
        partial(deque, map(sys.monitoring.set_events, tools, repeat(0)), 0),
        partial(deque, map(sys.setprofile, compress(repeat(None), map(_is_set, profilers))), 0),
        partial(deque, map(sys.settrace, compress(repeat(None), map(_is_set, tracers))), 0),
        function,
        partial(deque, map(sys.settrace, tracers), 0),
        partial(deque, map(sys.setprofile, profilers), 0),
        partial(deque, map(sys.monitoring.set_events, tools, events), 0),
    ]
