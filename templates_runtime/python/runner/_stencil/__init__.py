"""Stencil's runner for Python. `stencil.pth` has `site` start it, before the interpreter turns to its own task.

What of it is imported has a name that no submission is likely to use, and is out of `sys.modules` when the program begins.
"""
