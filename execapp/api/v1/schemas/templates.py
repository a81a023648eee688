"""Bodies and replies of `/templates`: templates, promotions, and the policy of gates."""

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field

from execapp.api.http import bounds
from execapp.api.v1.schemas.common import Number, ReasonIn, Text
from execapp.api.v1.schemas.executions import LimitsOut


class CurrentOut(Schema):
    """The version for executions that name no version."""

    version: int
    digest: str
    promoted_at: datetime | None
    promoted_by: str | None


class PinnedOut(Schema):
    """The pin that refuses promotions: its time, actor and reason."""

    at: datetime
    by: str
    reason: str


class TemplateLimitsOut(Schema):
    """The default limits of an execution, and their maximum."""

    default: LimitsOut
    maximum: LimitsOut


class TemplateOut(Schema):
    """A template. `versions` is the number of its versions; lists omit `limits`."""

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
    """Body of `POST /templates/{name}/promote`."""

    version: Number
    expected_current: Number | None = Field(
        default=None, description="409 if another version is current"
    )
    override: Text | None = Field(
        default=None, description="the reason to ignore closed gates; needs the scope admin"
    )


class RollBackIn(ReasonIn):
    """Body of `POST /templates/{name}/rollback`."""

    expected_current: Number | None = None
    override: Text | None = None


class PromotionOut(Schema):
    """One change of the current version."""

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
    """The template after a promotion or a roll back, and that promotion."""

    promotion: PromotionOut


class PolicyIn(ReasonIn):
    """Body of `PUT /templates/{name}/policy`."""

    required: Annotated[list[Text] | None, bounds.texts(bounds.MAX_GATES, "gates")] = Field(
        description="names of gates; null: all of them"
    )


class PolicyOut(Schema):
    """The gates that promotions of a template must pass."""

    required: list[str]
    essential: list[str]
    known: list[str]
