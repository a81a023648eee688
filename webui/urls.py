"""Every address: the API and health from execapp, the dashboard's pages from webui.views."""

from django.urls import include, path

urlpatterns = [
    path("", include("execapp.api.urls")),
    path("", include("webui.signin.urls")),
    path("", include("webui.views.urls")),
]

handler400 = "webui.views.errors.bad_request"
handler403 = "webui.views.errors.permission_denied"
handler404 = "webui.views.errors.page_not_found"
handler500 = "webui.views.errors.server_error"
