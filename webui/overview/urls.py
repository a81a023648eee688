"""Addresses of the overview and its charts."""

from django.urls import path

from webui.overview import chart_views, views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("overview/state", views.state, name="overview_state"),
    path("overview/activity", chart_views.activity, name="overview_activity"),
    path("health", views.rail_health, name="rail_health"),
    path("templates/<slug:name>/activity", chart_views.template_activity, name="template_activity"),
]
