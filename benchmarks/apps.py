from django.apps import AppConfig


class BenchmarksConfig(AppConfig):
    """The commands that measure; no part of the service."""

    name = "benchmarks"
