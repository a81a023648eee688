"""The first page: what needs attention, and how the system runs."""
