"""Every address: the API and health from execapp, sign-in, and a page family each."""

from importlib import import_module

from django.urls import URLPattern, include, path

PAGE_FAMILIES = (
    "overview",
    "activity",
    "catalog",
    "promotions",
    "builds",
    "executions",
    "playground",
    "audit_log",
    "access",
    "system",
)

pages: list[URLPattern] = [
    page for family in PAGE_FAMILIES for page in import_module(f"webui.{family}.urls").urlpatterns
]

urlpatterns = [
    path("", include("execapp.api.urls")),
    path("", include("webui.signin.urls")),
    *pages,
]

handler400 = "webui.shell.error_pages.bad_request"
handler403 = "webui.shell.error_pages.permission_denied"
handler404 = "webui.shell.error_pages.page_not_found"
handler500 = "webui.shell.error_pages.server_error"
