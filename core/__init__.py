"""Shared modules of both apps: jobs, engine, database, pagination, parsing."""
