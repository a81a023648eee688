"""`manage.py limit_token`: change the limits of one token."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import parsing
from execapp.errors import ExecutionError, InvalidRequestError
from execapp.management.commands.create_token import LIMITS
from execapp.services import token_limits, tokens
from execapp.services.token_limits import TokenLimits

DEFAULT, ALL = "default", "all"


class Command(BaseCommand):
    """Change the limits that are given, keep the others, and print all of them."""

    help = "Change limits of a token; without options, print them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", help="how the token begins, as the list of tokens shows it")
        parser.add_argument(
            "--template",
            action="append",
            metavar="NAME",
            help="the only templates that it may run; may be repeated; 'all': every template",
        )
        for name, meaning in LIMITS.items():
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                type=_limit,
                metavar="N|default",
                help=f"{meaning}; 'default': that of the setting",
            )
        parser.add_argument(
            "--exclusive", choices=("yes", "no"), help="its executions get a core of their own"
        )
        parser.add_argument("--actor", default="limit_token", help="who does it, for the audit")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            token = tokens.by_prefix(prefix=options["prefix"])
            if changes := _changes(options):
                token = token_limits.change(
                    token_id=token.id, changes=changes, actor=options["actor"]
                )
        except InvalidRequestError as error:
            text = "\n".join(f"{field.path}: {field.message}" for field in error.fields)
            raise CommandError(text) from error
        except ExecutionError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{token.name}: {_shown(token_limits.of(token))}")


def _limit(text: str) -> int | str:
    """Return a number, or DEFAULT. Raise ArgumentTypeError."""
    try:
        return DEFAULT if text == DEFAULT else parsing.whole(text, most=parsing.LARGEST_ROW)
    except parsing.ParseError as error:
        message = f"{text[:40]!r}: give a number, or {DEFAULT}"
        raise ArgumentTypeError(message) from error


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    given = {name: options[name] for name in LIMITS if options[name] is not None}
    changes: dict[str, Any] = {
        name: None if value == DEFAULT else value for name, value in given.items()
    }
    if options["template"] is not None:
        changes["templates"] = () if options["template"] == [ALL] else tuple(options["template"])
    if options["exclusive"] is not None:
        changes["exclusive"] = options["exclusive"] == "yes"
    return changes


def _shown(limits: TokenLimits) -> str:
    parts = [f"templates {', '.join(limits.templates) or ALL}"]
    for name in LIMITS:
        value = getattr(limits, name)
        parts.append(f"{name.replace('_', ' ')} {DEFAULT if value is None else f'{value:,}'}")
    parts.append(f"exclusive {'yes' if limits.exclusive else 'no'}")
    return "; ".join(parts)
