"""Addresses of the audit trail."""

from django.urls import path

from webui.audit_log import views

urlpatterns = [
    path("audit", views.index, name="audit"),
    path("audit/verify", views.verify, name="audit_verify"),
    path("audit/export", views.export, name="audit_export"),
]
