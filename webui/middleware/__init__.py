"""Middleware: limits of requests, addresses behind proxies, cache headers."""
