"""Fixtures of the API, which the measurements of requests call."""

from tests.execapp.conftest import alive, api, committed, current, own_addresses

__all__ = ["alive", "api", "committed", "current", "own_addresses"]
