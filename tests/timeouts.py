"""How long tests wait on a machine that may be slow."""

HANGS_SECONDS = 120.0  # longer than anything that ends; what tests leave running lasts 300 s
