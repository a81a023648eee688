"""Addresses of the charts, which htmx loads into the overview and into a template's page."""

from django.urls import path

from webui.activity import views

urlpatterns = [
    path("overview/activity", views.overview_activity, name="overview_activity"),
    path("templates/<slug:name>/activity", views.template_activity, name="template_activity"),
]
