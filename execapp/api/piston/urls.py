"""Addresses of the Piston door, below both bases that its clients use."""

from django.urls import re_path

from execapp.api.piston import views

_BASE = r"^api/v2/(?:piston/)?"

urlpatterns = [
    re_path(_BASE + r"runtimes/?\Z", views.served("GET", views.runtimes)),
    re_path(_BASE + r"packages/?\Z", views.served("GET", views.packages)),
    re_path(_BASE + r"execute/?\Z", views.served("POST", views.execute)),
    re_path(r"^api/v2(?:/[\s\S]*)?\Z", views.elsewhere),
]
