"""Serve forks: this process, with all that it has loaded, is the model of many sandboxes.

The native part makes the sandboxes and describes the messages: `_fork/isolate.c`.
"""
import ctypes
import gc
import os
import sys

from . import protocol

LIBRARY = f"{sys.prefix}/_fork/isolate.so"
AUTHENTICATION_BYTES = 32  # of multiprocessing's key


class Generators:
    """The generators of random numbers that exist before the fork. Each sandbox needs its own numbers.

    Programs reach generators in modules, so all objects are searched. The search must come before `gc.freeze`.
    """

    def __init__(self):
        kinds = []
        if "random" in sys.modules:
            kinds.append((sys.modules["random"].Random, _seed))
        if "numpy.random" in sys.modules:
            kinds.append((sys.modules["numpy.random"].BitGenerator, _seed_bits))
            kinds.append((sys.modules["numpy.random"].RandomState, _forget_second))
        self._found = [(item, act) for item in gc.get_objects() for kind, act in kinds if isinstance(item, kind)]

    def refresh(self):
        """Seed all of them, and what the other modules keep."""
        for item, act in self._found:
            act(item)
        if "_ssl" in sys.modules:
            sys.modules["_ssl"].RAND_add(os.urandom(AUTHENTICATION_BYTES), AUTHENTICATION_BYTES)
        if "uuid" in sys.modules:
            # The C library keeps a node and a sequence that nothing can renew: let Python make them.
            sys.modules["uuid"]._generate_time_safe = None
            sys.modules["uuid"]._node = sys.modules["uuid"]._last_timestamp = None
        if "multiprocessing.process" in sys.modules:
            current = sys.modules["multiprocessing.process"]._current_process
            current._config["authkey"] = type(current.authkey)(os.urandom(AUTHENTICATION_BYTES))


def _seed(generator):
    generator.seed()


def _seed_bits(bits):
    """Give a bit generator of numpy another state and another sequence of seeds, from which it spawns generators."""
    bits.__setstate__(type(bits)().__getstate__())


def _forget_second(generator):
    """Drop the second of two normal numbers, which a generator of numpy keeps for the next call."""
    generator.set_state({**generator.get_state(legacy=False), "has_gauss": 0, "gauss": 0.0})


def serve(generators):
    """Send `ready`, then serve requests. Return in the second process of each sandbox."""
    library = ctypes.PyDLL(LIBRARY)
    protocol.send({"type": "ready"})
    if not library.stencil_fork_serve(protocol.CHANNEL, protocol.CHANNEL, 0):
        os._exit(0)  # the host has closed the socket
    second = os.fork()
    if second:
        library.stencil_fork_reap(second)
    library.stencil_fork_begin()
    protocol.own_channel()
    generators.refresh()
