"""`manage.py run_lookup <id>`: one claimed lookup in a registry, in a process of its own."""

import threading
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sandbox import helper
from templatemgr.build import lookups


class Command(BaseCommand):
    help = "Run a lookup that an executor has claimed. Started by executors; not for people."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("lookup", type=uuid.UUID)
        parser.add_argument("--worker", required=True, help="the worker that holds the lease")
        parser.add_argument("--attempt", type=int, required=True, help="the number of the claim")
        parser.add_argument("--parent", type=int, required=True, help="the executor's process")
        parser.add_argument("--slot", required=True, help="the prefix of its sandboxes' slots")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Settle, look whether the claim still holds, ask."""
        helper.settle(parent=options["parent"], slot=options["slot"])
        lookup = lookups.held(
            lookup_id=options["lookup"], worker=options["worker"], attempt=options["attempt"]
        )
        if lookup is not None:
            lookups.run(lookup=lookup, cancel=threading.Event())
