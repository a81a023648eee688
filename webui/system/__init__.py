"""The system page and the system checks of an installation."""
