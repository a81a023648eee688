"""`manage.py pin_token`: pin a client to the versions that it gets when it names none."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from execapp.errors import ExecutionError
from execapp.services import token_pins, tokens


class Command(BaseCommand):
    """Replace the pins of one token; without --pin it gets the current versions again."""

    help = "Pin a client to versions; without --pin, unpin it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", help="how the token begins, as the list of tokens shows it")
        parser.add_argument(
            "--pin",
            action="append",
            default=[],
            metavar="NAME@VERSION",
            help="the version it gets when it names none; may be repeated",
        )
        parser.add_argument("--actor", default="pin_token", help="who does it, for the audit")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            token = tokens.by_prefix(prefix=options["prefix"])
            chosen = token_pins.parse(options["pin"])
            token_pins.replace(token=token, pins=chosen, actor=options["actor"])
        except ExecutionError as error:
            raise CommandError(error.message) from error
        shown = ", ".join(f"{name}@{number}" for name, number in token_pins.of(token=token).items())
        self.stdout.write(f"{token.name}: {shown or 'gets the current versions'}")
