"""The pip builder: lock, fetch, build source distributions, install, and find updates."""
