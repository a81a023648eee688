"""Pages of templates and their versions."""
