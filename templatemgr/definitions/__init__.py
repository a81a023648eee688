"""Read definitions strictly: `template.toml`, the files beside it, and collections of them."""
