"""`manage.py web`: the web server."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from execapp.management.starting import require_schema


class Command(BaseCommand):
    """Serve the dashboard and the API until SIGTERM or Ctrl-C."""

    help = "Serve the dashboard and the API."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=settings.STENCIL_HOST, help="address to listen on")
        parser.add_argument("--port", type=int, default=settings.STENCIL_PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        require_schema()
        from webui.server import serving
        from webui.wsgi import application

        serving.serve(application, options["host"], options["port"])
