"""Strict readers of definitions: `template.toml`, the files beside it, and collections."""
