"""The engine of one machine, over a Unix socket. Only `core.engine` imports it."""
