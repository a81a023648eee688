"""The builder for npm: lock, fetch, install, and query `npm outdated`."""
