"""The first page: items that need attention, and the state of the system."""
