"""A builder that stops in the middle, to be killed there. Run with the place as argument."""

import os
import sys
import time
from typing import Any

import django
from django.conf import settings

django.setup()
settings.DATABASES["default"]["NAME"] = os.environ["VICTIM_DATABASE"]

from templatemgr.services import builds, pipeline, publishing  # noqa: E402 - after the setup

FUNCTIONS = {
    "fetching": "_fetch",
    "installing": "_install",
    "sealing": "_seal",
    "smoke": "_smoke",
    "publishing": "_record",
}


def stall(*_args: Any) -> None:
    print("stalled", flush=True)
    time.sleep(600)


def main() -> None:
    name = FUNCTIONS[sys.argv[1]]
    module = publishing if name == "_record" else pipeline
    original = getattr(module, name)

    def instead(*args: Any) -> None:
        # Not before it: what the step makes must be there to be swept.
        if name != "_record":
            original(*args)
        stall()

    setattr(module, name, instead)
    build = builds.claim(worker="victim")
    assert build is not None
    builds.run(build=build, worker="victim")


main()
