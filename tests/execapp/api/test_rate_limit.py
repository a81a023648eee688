"""Test the rate limit of a token: count, headers of every reply, refusal above it."""

import uuid

from pytest_django import Settings

from execapp.api.http.rate_limit import FORGET_ABOVE, TokenBuckets
from templatemgr.models import Version
from tests.execapp.api.api_clients import refused
from tests.execapp.conftest import Api, make_api

KEY = uuid.uuid4()


def test_every_reply_has_the_remaining_requests(api: Api, settings: Settings) -> None:
    settings.STENCIL_RATE_PER_MINUTE = 5
    left = []
    for path in ("/me", "/templates", "/templates/nope"):
        response = api.call("GET", path)
        assert response["RateLimit-Limit"] == "5"
        left.append(response["RateLimit-Remaining"])
    assert left == ["4", "3", "2"]
    shown = api.get("/me")
    assert shown["limits"]["requests_per_minute"] == 5
    assert shown["remaining"]["requests"] == 1


def test_one_too_many_is_429_and_other_tokens_go_on(current: Version, settings: Settings) -> None:
    settings.STENCIL_RATE_PER_MINUTE = 2
    one, other = make_api("one"), make_api("other")
    for _ in range(2):
        one.get("/me")
    error = refused(one, "GET", "/me", None, 429, "rate_limited")
    assert "At most 2 requests a minute" in error["message"]
    response = one.call("POST", "/executions", {})
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 30
    assert response["RateLimit-Remaining"] == "0"
    other.get("/me")


def test_without_a_limit_nothing_is_said(api: Api, settings: Settings) -> None:
    settings.STENCIL_RATE_PER_MINUTE = 0
    assert "RateLimit-Limit" not in api.call("GET", "/me")
    assert api.get("/me")["remaining"]["requests"] is None


def test_a_bucket_fills_evenly() -> None:
    buckets = TokenBuckets()
    standings = [buckets.take(KEY, limit=60, now=100.0) for _ in range(61)]
    assert [standings[0].remaining, standings[59].remaining] == [59, 0]
    assert standings[0].reset_seconds == 1
    assert (standings[60].retry_seconds, standings[60].reset_seconds) == (1, 60)
    assert buckets.take(KEY, limit=60, now=100.5).retry_seconds == 1
    assert buckets.take(KEY, limit=60, now=101.0).retry_seconds == 0
    assert buckets.take(KEY, limit=60, now=101.0).retry_seconds == 1
    assert buckets.take(KEY, limit=60, now=1000.0).remaining == 59


def test_a_lower_limit_holds_at_once() -> None:
    buckets = TokenBuckets()
    assert buckets.take(KEY, limit=600, now=0.0).remaining == 599
    assert buckets.take(KEY, limit=2, now=0.0).remaining == 1


def test_buckets_that_are_full_again_are_forgotten() -> None:
    buckets = TokenBuckets()
    for number in range(FORGET_ABOVE + 1):
        buckets.take(uuid.UUID(int=number), limit=60, now=0.0)
    buckets.take(KEY, limit=60, now=100.0)
    assert len(buckets._left) == 1
