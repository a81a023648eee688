"""Addresses of promotions and comparisons."""

from django.urls import path

from webui.promotions import compare_views, views

urlpatterns = [
    path("templates/<slug:name>/promote", views.promote, name="promote"),
    path("templates/<slug:name>/rollback", views.roll_back, name="roll_back"),
    path("templates/<slug:name>/pin", views.pin, name="pin"),
    path("templates/<slug:name>/unpin", views.unpin, name="unpin"),
    path("templates/<slug:name>/ask/<slug:action>", views.confirm, name="confirm"),
    path("templates/<slug:name>/promotions/<int:promotion_id>", views.receipt, name="receipt"),
    path("templates/<slug:name>/policy", views.policy, name="policy"),
    path("templates/<slug:name>/policy/set", views.set_policy, name="set_policy"),
    path("templates/<slug:name>/compare", compare_views.choose, name="choose"),
    path(
        "templates/<slug:name>/compare/<int:old>/<int:new>", compare_views.compare, name="compare"
    ),
]
