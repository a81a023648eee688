"""Addresses of the API and of the health checks; everything else under /api is not found."""

from django.urls import URLPattern, URLResolver, include, path, re_path
from ninja import NinjaAPI

from execapp.api.http import metrics, openapi_document, views
from execapp.api.judge0 import urls as judge0
from execapp.api.mcp import views as mcp
from execapp.api.piston import urls as piston
from execapp.api.v1 import api


def shaped(api: NinjaAPI) -> tuple[list[URLResolver | URLPattern], str, str]:
    """Return what `api.urls` does, with every answer in the shapes of the HTTP contract."""
    patterns, app_name, namespace = api.urls
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            if pattern.name == "openapi-json":  # ninja's view writes the document at every request
                pattern.callback = openapi_document.view(api)
            pattern.callback = views.one_shape(pattern.callback)
    return patterns, app_name, namespace


urlpatterns = [
    path("api/v1/", include(shaped(api)[:2], namespace="api-v1")),
    path("healthz", views.one_shape(views.healthz), name="healthz"),
    path("readyz", views.one_shape(views.readyz), name="readyz"),
    path("metrics", views.one_shape(metrics.view), name="metrics"),
    *piston.urlpatterns,
    path("mcp", views.one_shape(mcp.view), name="mcp"),
    *judge0.urlpatterns,
    re_path(r"^api(?:/[\s\S]*)?\Z", views.one_shape(views.missing)),
]
