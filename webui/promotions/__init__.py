"""Pages that change the current version, and comparisons of versions."""
