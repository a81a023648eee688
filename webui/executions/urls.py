"""Addresses of executions."""

from django.urls import path

from webui.executions import views

urlpatterns = [
    path("executions", views.index, name="executions"),
    path("executions/<uuid:execution_id>", views.detail, name="execution"),
    path("executions/<uuid:execution_id>/json", views.as_json, name="execution_json"),
    path(
        "executions/<uuid:execution_id>/files/<str:sha256>",
        views.collected_file,
        name="execution_file",
    ),
    path(
        "executions/<uuid:execution_id>/pictures/<str:sha256>",
        views.picture,
        name="execution_picture",
    ),
    path("executions/<uuid:execution_id>/cancel", views.cancel, name="cancel_execution"),
    path("executions/<uuid:execution_id>/rerun", views.rerun, name="rerun_execution"),
    path("executions/<uuid:execution_id>/callback", views.callback, name="execution_callback"),
    path("deliveries/<uuid:delivery_id>/resend", views.resend, name="resend_delivery"),
]
