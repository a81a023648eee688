"""Pages that change what is current, and comparisons of versions."""
