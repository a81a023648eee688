"""Addresses of the Piston door, below both bases that its clients use."""

from django.urls import re_path

from execapp.api.http.door_views import elsewhere, served
from execapp.api.piston import views

urlpatterns = [
    re_path(r"^api/v2/(?:piston/)?runtimes/?\Z", served("piston", GET=views.runtimes)),
    re_path(r"^api/v2/(?:piston/)?packages/?\Z", served("piston", GET=views.packages)),
    re_path(r"^api/v2/(?:piston/)?execute/?\Z", served("piston", POST=views.execute)),
    re_path(r"^api/v2(?:/[\s\S]*)?\Z", elsewhere("piston")),
]
