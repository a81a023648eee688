"""`manage.py create_token`: a new API token, printed once."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from execapp.errors import InvalidRequestError
from execapp.models import Scope
from execapp.services import token_pins, tokens
from execapp.services.token_limits import TokenLimits

LIMITS = {
    "requests_per_minute": "requests a minute, exactly and for all web processes",
    "open_executions": "executions that are queued or running at the same time",
    "cpu_seconds_per_day": "CPU seconds of a day (UTC)",
    "bytes_per_day": "stored bytes of a day (UTC)",
}


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
        parser.add_argument(
            "--template",
            action="append",
            default=[],
            metavar="NAME",
            help="a template that it may run; may be repeated; default: all",
        )
        for name, meaning in LIMITS.items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=meaning)
        parser.add_argument(
            "--exclusive", action="store_true", help="its executions get a core of their own"
        )
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
                limits=TokenLimits(
                    templates=tuple(options["template"]),
                    exclusive=options["exclusive"],
                    **{name: options[name] for name in LIMITS},
                ),
            )
        except InvalidRequestError as error:
            raise CommandError(error.message) from error
        self.stdout.write(secret)
