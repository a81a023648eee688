"""Bodies and answers of `/templates`: templates, promotions, and the policy of gates."""

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field

from execapp.api.http import bounds
from execapp.api.v1.schemas.common import Number, ReasonIn, Text
from execapp.api.v1.schemas.executions import LimitsOut


class CurrentOut(Schema):
    """The version that executions get when they name none."""

    version: int
    digest: str
    promoted_at: datetime | None
    promoted_by: str | None


class PinnedOut(Schema):
    """Since when, by whom and why promotions are refused."""

    at: datetime
    by: str
    reason: str


class TemplateLimitsOut(Schema):
    """What an execution gets, and what it may ask for."""

    default: LimitsOut
    maximum: LimitsOut


class TemplateOut(Schema):
    """A template; `versions` is how many there are, `limits` stands on a single one only."""

    name: str
    title: str
    modes: list[str]
    current: CurrentOut | None
    pinned: PinnedOut | None
    versions: int
    limits: TemplateLimitsOut | None = None


class TemplatesOut(Schema):
    """A page of templates."""

    items: list[TemplateOut]
    next: str | None


class PromoteIn(ReasonIn):
    """`POST /templates/{name}/promote`."""

    version: Number
    expected_current: Number | None = Field(
        default=None, description="409 when another version is current by now"
    )
    override: Text | None = Field(
        default=None, description="why closed gates are passed by; needs the scope admin"
    )


class RollBackIn(ReasonIn):
    """`POST /templates/{name}/rollback`."""

    expected_current: Number | None = None
    override: Text | None = None


class PromotionOut(Schema):
    """One change of what is current."""

    kind: Literal["promote", "rollback"]
    from_: int | None = Field(alias="from")
    to: int
    actor: str
    reason: str
    created_at: datetime


class PromotionsOut(Schema):
    """A page of promotions."""

    items: list[PromotionOut]
    next: str | None


class MovedOut(TemplateOut):
    """The template as it is now, and the promotion that made it so."""

    promotion: PromotionOut


class PolicyIn(ReasonIn):
    """`PUT /templates/{name}/policy`."""

    required: Annotated[list[Text] | None, bounds.texts(bounds.MAX_GATES, "gates")] = Field(
        description="names of gates; null: all of them"
    )


class PolicyOut(Schema):
    """Which gates promotions of a template must pass."""

    required: list[str]
    essential: list[str]
    known: list[str]
