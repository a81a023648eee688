"""The reply of `/me`."""

from typing import Any

from ninja import Schema
from pydantic import Field


class MeOut(Schema):
    """The token of the request, its scopes and its limits."""

    client: str
    scopes: list[str]
    pins: dict[str, int]
    templates: list[str] = Field(description="those it may run; empty: all")
    exclusive: bool = Field(description="its executions ask for a core of their own")
    token: dict[str, Any]
    limits: dict[str, int | None] = Field(description="null: none is set")
    remaining: dict[str, int | None]
    left: dict[str, int | None] = Field(description="the rest of the limits, as `remaining`")
