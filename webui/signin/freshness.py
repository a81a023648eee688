"""A fresh sign-in before important actions, if STENCIL_FRESH_SIGNIN_SECONDS is set."""

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
    """Return whether the user signed in within STENCIL_FRESH_SIGNIN_SECONDS; 0: always True."""
    seconds = settings.STENCIL_FRESH_SIGNIN_SECONDS
    if not seconds:
        return True
    records = get_authentication_records(request, request.user)
    return bool(records) and time.time() - float(records[-1]["at"]) < seconds


def reauthenticate(request: HtmxHttpRequest) -> HttpResponseBase:
    """Redirect to the page that asks for a factor again.

    Raise ReauthenticationRequired, which allauth turns into that redirect. allauth stores a POST in
    the session and repeats it afterwards.
    """
    methods = get_adapter().get_reauthentication_methods(request.user)
    if not methods:  # a single sign-on user without a local password or factor
        messages.error(
            request, "Your sign-in is too old for this action. Sign out and sign in again.", "bad"
        )
        return redirect_whole_page(request, shown_page(request))
    if request.htmx:  # allauth would answer a part of a page with a whole page
        return redirect_whole_page(
            request, f"{methods[0]['url']}?{urlencode({'next': shown_page(request)})}"
        )
    raise ReauthenticationRequired


def shown_page(request: HttpRequest) -> str:
    """Return the path of the page that the browser shows and that sent this request."""
    # Refused requests have not passed HtmxMiddleware, so there is no `request.htmx`.
    shown = HtmxDetails(request).current_url or request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(shown, allowed_hosts={request.get_host()}):
        return "/"
    return urlunsplit(("", "", *urlsplit(shown)[2:4], ""))


def redirect_whole_page(request: HtmxHttpRequest, url: str) -> HttpResponseBase:
    """Redirect the whole page. For htmx, a plain redirect would replace only a part of it."""
    if request.htmx:
        return HttpResponseClientRedirect(url)
    return HttpResponseRedirect(url)
