"""Schemas of `/api/v1` by theme: they validate bodies and parameters, and document replies.

`execapp.api.presenters` creates the replies. No schema validates them at run time; tests compare
both. Names and docstrings of the classes are part of the OpenAPI document.
"""
