"""Addresses of the Piston door, below both bases that its clients use."""

from django.urls import re_path

from execapp.api.http.door_views import elsewhere, served
from execapp.api.piston import views

_BASE = r"^api/v2/(?:piston/)?"

urlpatterns = [
    re_path(_BASE + r"runtimes/?\Z", served("piston", GET=views.runtimes)),
    re_path(_BASE + r"packages/?\Z", served("piston", GET=views.packages)),
    re_path(_BASE + r"execute/?\Z", served("piston", POST=views.execute)),
    re_path(r"^api/v2(?:/[\s\S]*)?\Z", elsewhere("piston")),
]
