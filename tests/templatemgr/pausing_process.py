"""Run work in a process that pauses at a given function, so that a test can kill it there.

Arguments: the work (VERBS), the function ("build.pipeline._smoke"), whether to pause "before" or
"after" the function, and at which of its calls (default: the first).
"""

import importlib
import itertools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings

django.setup()
settings.DATABASES["default"]["NAME"] = os.environ["VICTIM_DATABASE"]

from templatemgr.build import builds  # noqa: E402
from templatemgr.integrity import checking  # noqa: E402
from templatemgr.maintenance import healing, verification  # noqa: E402
from templatemgr.promotion import promotions, removal  # noqa: E402

NAME = os.environ["VICTIM_TEMPLATE"]


def build() -> None:
    claimed = builds.claim(worker="victim")
    assert claimed is not None
    builds.run(build=claimed, worker="victim")


def job() -> None:
    claimed = verification.claim(worker="victim")
    assert claimed is not None
    verification.run(verification=claimed)


def remove() -> None:
    removal.remove(template=NAME, version=1, actor="victim", reason="r", in_use=lambda _: [])


VERBS: dict[str, Callable[[], object]] = {
    "build": build,
    "verification": job,
    "remove": remove,
    "promote": lambda: promotions.promote(template=NAME, version=2, actor="victim", reason="r"),
    "roll back": lambda: promotions.roll_back(template=NAME, actor="victim", reason="r"),
    "verify": lambda: checking.verify(template=NAME, version=1, actor="victim"),
    "heal": lambda: healing.heal(template=NAME, version=1, actor="victim", worker="victim"),
}


def stall() -> None:
    os.write(1, b"stalled\n")  # one write: several threads may come here
    time.sleep(600)


def main() -> None:
    verb, place, when, *count = sys.argv[1:]
    wanted = int(count[0]) if count else 1
    module_name, _, name = f"templatemgr.{place}".rpartition(".")
    module = importlib.import_module(module_name)
    original = getattr(module, name)
    calls = itertools.count(1)

    def instead(*args: Any, **values: Any) -> Any:
        number = next(calls)  # per call: several threads may run the function
        if when == "before" and number == wanted:
            stall()
        result = original(*args, **values)
        if number == wanted:
            stall()
        return result

    setattr(module, name, instead)
    VERBS[verb]()


main()
