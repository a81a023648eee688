"""Time limits of tests, long enough for a slow machine."""

HANGS_SECONDS = 120.0  # longer than any step; programs that must be killed run for 300 s
