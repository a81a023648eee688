"""Stencil's runner for Python: `main.py run|test`.

It loads what the definition names, says `ready`, waits for one job on descriptor 3 and does it.
The program of mode `run` is started here, at the bottom of the stack, with nothing else below it.
"""
import sys

BARE = frozenset(sys.modules)  # what a bare Python has loaded when a program begins

from _stencil import ending, start

program = start.main(sys.argv[1], BARE)
try:
    exec(program.code(), program.namespace)
except SystemExit as end:
    ending.by_exit(end.code)
    raise
except BaseException as error:
    ending.expect(None if isinstance(error, KeyboardInterrupt) else 1)
    program.hide_runner()
    raise
ending.expect(0)
