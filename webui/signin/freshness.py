"""A fresh sign-in before acts that matter, where the settings ask for it."""

import time
from urllib.parse import urlencode, urlsplit, urlunsplit

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from webui.http import HtmxHttpRequest


def is_fresh(request: HttpRequest) -> bool:
    """Whether the user proved who they are within STENCIL_FRESH_SIGNIN_SECONDS; 0 asks nothing."""
    seconds = settings.STENCIL_FRESH_SIGNIN_SECONDS
    if not seconds:
        return True
    records = get_authentication_records(request, request.user)
    return bool(records) and time.time() - float(records[-1]["at"]) < seconds


def ask(request: HtmxHttpRequest) -> HttpResponseBase:
    """Off to the page that asks again. A POST is kept in the session, and done afterwards."""
    methods = get_adapter().get_reauthentication_methods(request.user)
    if not methods:  # signed in elsewhere, with neither a password nor a second factor here
        messages.error(request, "Your sign-in is too old for this: sign out and in again.", "bad")
        return to(request, page_shown(request))
    if request.htmx:  # a part of a page cannot go on as a whole one
        return to(request, f"{methods[0]['url']}?{urlencode({'next': page_shown(request)})}")
    raise ReauthenticationRequired


def page_shown(request: HttpRequest) -> str:
    """The path of the page that the browser shows, which sent this request."""
    # Also called for requests that were refused before they reached htmx's middleware.
    shown = HtmxDetails(request).current_url or request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(shown, allowed_hosts={request.get_host()}):
        return "/"
    return urlunsplit(("", "", *urlsplit(shown)[2:4], ""))


def to(request: HtmxHttpRequest, url: str) -> HttpResponseBase:
    """A redirect of the whole page, also for htmx, which would put it into a part of this one."""
    if request.htmx:
        return HttpResponseClientRedirect(url)
    return HttpResponseRedirect(url)
