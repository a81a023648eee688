"""Isolation: bubblewrap's profile and start, the system-call filter, and the check from outside."""
