"""Shared parts of all pages: layout, navigation, confirmations, errors, charts."""
