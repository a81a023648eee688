"""Addresses of the overview."""

from django.urls import path

from webui.overview import views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("overview/state", views.state, name="overview_state"),
    path("health", views.rail_health, name="rail_health"),
]
