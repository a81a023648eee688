"""`manage.py run_build <id>`: one claimed build, in a process of its own, for an executor."""

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sandbox import helper
from templatemgr.build import builds


class Command(BaseCommand):
    help = "Run a build that an executor has claimed. Started by executors; not for people."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("build", type=uuid.UUID)
        parser.add_argument("--worker", required=True, help="the worker that holds the lease")
        parser.add_argument("--attempt", type=int, required=True, help="the number of the claim")
        parser.add_argument("--parent", type=int, required=True, help="the executor's process")
        parser.add_argument("--slot", required=True, help="the prefix of its sandboxes' slots")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Settle, look whether the claim still holds, run."""
        helper.settle(parent=options["parent"], slot=options["slot"])
        worker = options["worker"]
        build = builds.held(build_id=options["build"], worker=worker, attempt=options["attempt"])
        if build is not None:
            builds.run(build=build, worker=worker)
