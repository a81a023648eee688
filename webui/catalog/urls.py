"""Addresses of templates and their versions."""

from django.urls import path

from webui.catalog import version_views, views

urlpatterns = [
    path("templates", views.index, name="templates"),
    path("templates/<slug:name>", views.detail, name="template"),
    path("templates/<slug:name>/promotions", views.promotion_log, name="promotions"),
    path("templates/<slug:name>/versions/<int:number>", version_views.detail, name="version"),
    path("templates/<slug:name>/versions/<int:number>/verify", version_views.verify, name="verify"),
    path(
        "templates/<slug:name>/versions/<int:number>/verification",
        version_views.verification_progress,
        name="verification",
    ),
    path("templates/<slug:name>/versions/<int:number>/heal", version_views.heal, name="heal"),
    path(
        "templates/<slug:name>/versions/<int:number>/removal",
        version_views.confirm_removal,
        name="confirm_removal",
    ),
    path(
        "templates/<slug:name>/versions/<int:number>/remove",
        version_views.remove,
        name="remove_version",
    ),
    path(
        "templates/<slug:name>/versions/<int:number>/inputs.<str:form>",
        version_views.download_inputs,
        name="inputs",
    ),
]
