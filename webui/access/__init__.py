"""Pages of users, roles and API tokens."""
