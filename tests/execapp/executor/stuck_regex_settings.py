"""Settings of a helper that never comes back from what it reads, and lets no thread of it run."""

import re
from typing import NoReturn

from templatemgr.definitions import definition_file
from tests.execapp.executor.executor_settings import *  # noqa: F403


def read(*_given: object, **_named: object) -> NoReturn:
    """Hold the interpreter's lock for longer than anybody waits."""
    re.match(r"(a+)+$", "a" * 64 + "b")
    raise AssertionError


definition_file.read = read
