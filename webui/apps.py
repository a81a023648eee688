from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DashboardConfig(AppConfig):
    name = "webui"
    verbose_name = "Dashboard"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make the roles after every migration: a release may bring new permissions."""
        from webui import roles

        post_migrate.connect(roles.install_after_migrate, sender=self, dispatch_uid="webui.roles")
