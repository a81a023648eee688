"""The builder for npm: lock, fetch, install, and what `npm outdated` offers."""
