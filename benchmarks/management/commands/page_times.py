"""`manage.py page_times`: the server's time for each page, as JSON."""

import json
import statistics
import time
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.test import Client

from webui.quickstart import sample_data

SAMPLES = 21
HTMX = {"HX-Request": "true"}
FILTERS = ("template=typescript", "state=error", "client=client-001", "mode=run&state=failed",
           "label=course:cs110", "version=3", "q=01")  # fmt: skip
BELOW = ("promotions", "versions/2", "compare", "compare/1/2")  # below the first template's page


class Command(BaseCommand):
    help = "Time every page of a seeded Stencil, as an admin sees it: median and p95 by address."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--samples", type=int, default=SAMPLES)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Call the pages in turns, so that a noisy moment hits all of them."""
        user, _ = User.objects.get_or_create(
            username="page-times", defaults={"is_superuser": True, "is_staff": True}
        )
        client = Client(SERVER_NAME="localhost", raise_request_exception=False)
        client.force_login(user)
        times: dict[str, list[float]] = {address: [] for address in addresses()}
        try:
            for number in range(options["samples"] + 1):
                for address, found in times.items():
                    spent = timed(client, address)
                    if number:  # the first call compiles the page's templates
                        found.append(spent)
        finally:
            user.delete()
        self.stdout.write(json.dumps({a: summary(found) for a, found in times.items()}))


def addresses() -> list[str]:
    """Return the addresses of all pages, and of the list of executions with each filter."""
    plain = ["/", "/overview/state", "/overview/activity?range=day", "/templates", "/executions",
             "/playground", "/audit", "/tokens", "/users", "/system"]  # fmt: skip
    templates = [f"/templates/{name}" for name in sample_data.TEMPLATES]
    below = [f"{templates[0]}/{page}" for page in BELOW]
    return [*plain, *templates, *below, *(f"/executions?{query}" for query in FILTERS)]


def timed(client: Client, address: str) -> float:
    """Return the milliseconds from the request to the last byte. CommandError if it is no page."""
    began = time.perf_counter()
    answer = client.get(address)
    spent = (time.perf_counter() - began) * 1000
    if answer.status_code != 200:
        message = f"{address} answered {answer.status_code}."
        raise CommandError(message)
    return spent


def summary(found: list[float]) -> dict[str, float]:
    """Return median and 95th percentile in milliseconds."""
    ordered = sorted(found)
    late = ordered[min(len(ordered) - 1, -(-len(ordered) * 95 // 100) - 1)]
    return {"median_ms": round(statistics.median(ordered), 2), "p95_ms": round(late, 2)}
