"""The HTTP API: routes by version, presenters, and what all routes share."""
