"""The HTTP API: routes by version, presenters, and the shared parts of all routes."""
