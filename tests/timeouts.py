"""Time limits of tests, long enough for a slow machine."""

HANGS_SECONDS = 120.0  # longer than anything that ends; what tests leave running lasts 300 s
