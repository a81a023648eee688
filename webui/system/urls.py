"""Addresses of the system page."""

from django.urls import path

from webui.system import views

urlpatterns = [
    path("system", views.system, name="system"),
    path("system/check", views.check_again, name="check_system"),
]
