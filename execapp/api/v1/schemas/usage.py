"""The query and the reply of `/usage`."""

from datetime import date, datetime
from typing import Annotated

from ninja import Schema
from pydantic import Field, WrapValidator

from execapp.api.v1.schemas.common import PageQuery
from execapp.services.usage_reports import Grouping

# `usage_reports.parse_span` parses these.
_DOCUMENTED = WrapValidator(lambda value, _validate: value)


class UsageQuery(PageQuery):
    """The span and the grouping of a report."""

    by: Grouping = Grouping.DAY
    since: Annotated[datetime | date | None, _DOCUMENTED] = None
    until: Annotated[datetime | date | None, _DOCUMENTED] = None


class UsageSumOut(Schema):
    """What the ended executions of one token, template or day used."""

    token: str | None = Field(description="its id; null unless grouped by token, as the others")
    client: str | None = Field(description="the name of the token")
    template: str | None
    day: date | None
    executions: int
    cpu_ms: int


class UsageReportOut(Schema):
    """A page of sums; days and tokens stand newest first."""

    by: Grouping
    since: datetime
    until: datetime = Field(description="not included")
    items: list[UsageSumOut]
    next: str | None
