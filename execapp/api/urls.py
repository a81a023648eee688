"""Addresses of the API, of the health checks, and the last word on everything under /api."""

from django.urls import URLPattern, URLResolver, include, path, re_path

from execapp.api.http import views
from execapp.api.v1 import api


def _shaped() -> tuple[list[URLResolver | URLPattern], str, str]:
    patterns, app_name, namespace = api.urls
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            pattern.callback = views.one_shape(pattern.callback)
    return patterns, app_name, namespace


urlpatterns = [
    path("api/v1/", include(_shaped()[:2], namespace="api-v1")),
    path("healthz", views.one_shape(views.healthz), name="healthz"),
    path("readyz", views.one_shape(views.readyz), name="readyz"),
    path("metrics", views.one_shape(views.metrics), name="metrics"),
    re_path(r"^api(?:/[\s\S]*)?\Z", views.one_shape(views.missing)),
]
