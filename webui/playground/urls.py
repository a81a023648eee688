"""Addresses of the playground."""

from django.urls import path

from webui.playground import views

urlpatterns = [
    path("playground", views.playground, name="playground"),
    path("playground/run", views.run, name="playground_run"),
]
