"""Addresses of builds."""

from django.urls import path

from webui.builds import request_views, views

urlpatterns = [
    path("templates/<slug:name>/new", request_views.new, name="new_build"),
    path("templates/<slug:name>/builds", request_views.request_build, name="request_build"),
    path("templates/<slug:name>/edit", request_views.edit, name="edit_inputs"),
    path("templates/<slug:name>/lookups", request_views.request_lookup, name="request_lookup"),
    path("templates/<slug:name>/packages", request_views.packages, name="packages"),
    path("builds", views.index, name="builds"),
    path("builds/<uuid:build_id>", views.detail, name="build"),
    path("builds/<uuid:build_id>/steps", views.steps, name="build_steps"),
    path("builds/<uuid:build_id>/events", views.events, name="build_events"),
    path("builds/<uuid:build_id>/log", views.log, name="build_log"),
    path("builds/<uuid:build_id>/cancel", views.cancel, name="cancel_build"),
]
