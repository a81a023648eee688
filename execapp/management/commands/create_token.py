"""`manage.py create_token`: a new API token, printed once."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from execapp.errors import InvalidRequestError
from execapp.models import Scope
from execapp.services import token_pins, tokens


class Command(BaseCommand):
    """Make a token and print its secret; only the hash is stored."""

    help = "Make an API token and print its secret, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the client's name, seen on its executions")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="may be repeated; default: execute and read",
        )
        parser.add_argument(
            "--pin",
            action="append",
            default=[],
            metavar="NAME@VERSION",
            help="the version this client gets when it names none; may be repeated",
        )
        parser.add_argument("--days", type=int, help="expires after so many days")
        parser.add_argument("--actor", default="create_token", help="who makes it, for the audit")

    def handle(self, *_args: Any, **options: Any) -> None:
        days = options["days"]
        expires_at = None if days is None else timezone.now() + timedelta(days=days)
        try:
            _, secret = tokens.create(
                name=options["name"],
                scopes=options["scope"] or [Scope.EXECUTE.value, Scope.READ.value],
                actor=options["actor"],
                expires_at=expires_at,
                pins=token_pins.parse(options["pin"]),
            )
        except InvalidRequestError as error:
            raise CommandError(error.message) from error
        self.stdout.write(secret)
