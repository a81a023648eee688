"""Settings of a helper whose reader of definitions never returns and blocks all its threads."""

import re
from typing import NoReturn

from templatemgr.definitions import definition_file
from tests.execapp.executor.executor_settings import *  # noqa: F403


def read(*_given: object, **_named: object) -> NoReturn:
    """Hold the interpreter's lock for longer than any test waits."""
    re.match(r"(a+)+$", "a" * 64 + "b")
    raise AssertionError


definition_file.read = read
