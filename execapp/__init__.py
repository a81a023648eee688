"""Executions: the HTTP API, the services behind it, the history, and the executor."""
