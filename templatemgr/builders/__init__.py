"""Builders install the packages of a definition: one Python package for each package manager."""
