"""The builder for pip: lock, fetch, build source distributions, install, and find updates."""
