"""Presenters: rows in, JSON of the HTTP contract out."""
