"""Permissions of the dashboard that belong to no model. This app has no table."""

from django.db import models


class Dashboard(models.Model):
    """An unmanaged model that declares permissions."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("manage_users", "Invite users, change their roles, deactivate them"),
            ("view_system", "See the machine, its executors and the settings in force"),
        ]

    def __str__(self) -> str:
        return "dashboard"
