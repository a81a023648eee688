"""Bodies and replies of deliveries."""

from datetime import datetime
from typing import Annotated

from ninja import Schema
from pydantic import Field

from execapp.api.v1.schemas.common import Strict
from execapp.models import DeliveryState

LONGEST_GRACE_SECONDS = 30 * 24 * 3600


class AttemptOut(Schema):
    """One attempt. `answer` is the beginning of the receiver's answer, at most 1,000 bytes."""

    number: int
    started_at: datetime
    duration_ms: float | None = Field(description="null: it runs, or its executor died")
    status: int | None = Field(description="HTTP status; null: no answer came")
    error: str | None
    answer: str | None


class DeliveryOut(Schema):
    """A message to one address, with its latest 50 attempts, newest first."""

    id: str = Field(description="also in the header Stencil-Delivery")
    event: str
    execution: str | None
    url: str
    state: DeliveryState
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None
    attempts: list[AttemptOut]


class DeliveriesOut(Schema):
    """A page of deliveries."""

    items: list[DeliveryOut]
    next: str | None


class SecretOut(Schema):
    """The secret that signs the token's callbacks."""

    secret: str
    created_at: datetime
    previous_until: datetime | None = Field(description="until then the old secret signs, too")


class RotateSecretIn(Strict):
    """Body of `POST /me/callback-secret/rotate`."""

    grace_seconds: Annotated[int, Field(ge=0, le=LONGEST_GRACE_SECONDS)] = 24 * 3600
