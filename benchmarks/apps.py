"""The app of the benchmarks."""

from django.apps import AppConfig


class BenchmarksConfig(AppConfig):
    """Commands that measure. The service does not import this app."""

    name = "benchmarks"
