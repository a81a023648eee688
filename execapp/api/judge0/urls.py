"""Addresses of the Judge0 door."""

from django.urls import re_path

from execapp.api.http.door_views import elsewhere, served
from execapp.api.judge0 import views

_ONE = r"(?P<token>[^/]{1,200})"

urlpatterns = [
    re_path(r"^judge0/(?:extra/)?about/?\Z", served("judge0", GET=views.about)),
    re_path(r"^judge0/(?:extra/)?config_info/?\Z", served("judge0", GET=views.config_info)),
    re_path(r"^judge0/(?:extra/)?statuses/?\Z", served("judge0", GET=views.statuses)),
    re_path(r"^judge0/(?:extra/)?languages/?\Z", served("judge0", GET=views.languages)),
    re_path(r"^judge0/(?:extra/)?languages/all/?\Z", served("judge0", GET=views.all_languages)),
    re_path(
        r"^judge0/(?:extra/)?languages/(?P<number>[^/]{1,200})/?\Z",
        served("judge0", GET=views.language),
    ),
    re_path(r"^judge0/(?:extra/)?submissions/?\Z", served("judge0", POST=views.create)),
    re_path(
        r"^judge0/(?:extra/)?submissions/batch/?\Z",
        served("judge0", GET=views.batch, POST=views.create_batch),
    ),
    re_path(
        rf"^judge0/(?:extra/)?submissions/{_ONE}/?\Z",
        served("judge0", GET=views.one, DELETE=views.destroy),
    ),
    re_path(r"^judge0(?:/[\s\S]*)?\Z", elsewhere("judge0")),
]
