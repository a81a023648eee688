"""Decide which version is current: gates, promotions, comparison, usage and removal."""
