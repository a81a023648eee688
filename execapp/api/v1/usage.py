"""`/usage`: what ended executions used, by token, template or day."""

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from execapp.api.http import auth
from execapp.api.http.openapi import ERRORS
from execapp.api.http.responses import check_query, reply, token_of
from execapp.api.presenters.usage import present_usage
from execapp.api.v1.schemas.usage import UsageQuery, UsageReportOut
from execapp.models import Scope
from execapp.services import usage_reports

router = Router(tags=["Usage"], by_alias=True)


@router.get("", auth=auth.read, response={200: UsageReportOut, **ERRORS}, summary="Read the usage")
def listing(request: HttpRequest, query: Query[UsageQuery]) -> HttpResponse:
    """Add up ended executions and their CPU time. A token without `admin` sees only its own.

    A day (UTC) that `since` and `until` cover in part counts whole; by default, 30 days.
    """
    check_query(request, UsageQuery.model_fields)
    token = token_of(request)
    span = usage_reports.parse_span(since=request.GET.get("since"), until=request.GET.get("until"))
    report = usage_reports.read(
        by=query.by,
        span=span,
        token=None if token.allows(Scope.ADMIN) else token,
        cursor=query.cursor,
        limit=query.limit,
    )
    return reply(present_usage(report, by=query.by, span=span))
