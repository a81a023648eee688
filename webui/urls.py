"""Every address: the API and health from execapp, the dashboard's pages from webui.views."""

from django.urls import include, path

urlpatterns = [
    path("", include("execapp.api.urls")),
    path("", include("webui.signin.urls")),
    path("", include("webui.views.urls")),
]
