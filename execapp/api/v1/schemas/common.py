"""Types and shapes that several themes use."""

from typing import Annotated

from ninja import Schema
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from core import parsing
from execapp.api.http import bounds

Number = Annotated[int, Field(ge=1, le=parsing.LARGEST)]


def _printable(text: str) -> str:
    if "\0" in text:
        message = "NUL is not allowed."
        raise ValueError(message)
    return text


Text = Annotated[str, AfterValidator(_printable)]


class Strict(BaseModel):
    """A request body: no key that we do not know, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_keys(cls, value: object) -> object:
        return bounds.known_keys(value, cls.model_fields)


def _whole(value: object) -> object:
    """Digits of a query string; the bounds of a field are its own."""
    return parsing.whole(value) if isinstance(value, str) else value


# In query strings everything is text: these read it as every other entrance does.
QueryNumber = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=parsing.LARGEST)]


class PageQuery(Schema):
    """What every list takes."""

    limit: Annotated[int, BeforeValidator(_whole)] = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)


class ReasonIn(Strict):
    """Why, for the audit trail."""

    reason: Text = Field(description="1 to 500 characters")
