"""Shared parts of all routes: authentication, bodies, errors, rate limits, deferred replies."""
