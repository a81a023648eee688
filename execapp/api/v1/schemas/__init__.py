"""Schemas of `/api/v1` by theme: they validate bodies and parameters, and they document answers.

`execapp.api.presenters` makes the answers, and no schema validates them again; the tests hold both
to each other. Names and docstrings of the classes stand in the OpenAPI document.
"""
