"""What may be done in the dashboard beyond the models below it. No table belongs to this app."""

from django.db import models


class Dashboard(models.Model):
    """Holds permissions that no row stands for."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("manage_users", "Invite users, change their roles, deactivate them"),
            ("view_system", "See the machine, its executors and the settings in force"),
        ]

    def __str__(self) -> str:
        return "dashboard"
