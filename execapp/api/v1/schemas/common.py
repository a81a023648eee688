"""Types and schemas that several modules use."""

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
    """A request body without unknown keys and without conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_keys(cls, value: object) -> object:
        return bounds.known_keys(value, cls.model_fields)


def _whole(value: object) -> object:
    """Parse digits of a query string. The field checks its bounds."""
    return parsing.whole(value) if isinstance(value, str) else value


# Query strings contain only text: parse numbers as all other interfaces do.
# The bounds come first, else the document names them `ge` and `le`, which mean nothing there.
QueryNumber = Annotated[int, Field(ge=1, le=parsing.LARGEST), BeforeValidator(_whole)]
PageSize = Annotated[int, Field(ge=1, le=200), BeforeValidator(_whole)]


class PageQuery(Schema):
    """The parameters of every list."""

    limit: PageSize = 50
    cursor: str | None = Field(default=None, max_length=200)


class ReasonIn(Strict):
    """The reason, for the audit trail."""

    # The service checks the length, without blanks around the text, for all interfaces.
    reason: Text = Field(
        description="1 to 500 characters", json_schema_extra={"minLength": 1, "maxLength": 500}
    )
