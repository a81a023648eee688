"""The app of the dashboard."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DashboardConfig(AppConfig):
    """The dashboard: permissions, roles and the cache table are installed after a migration."""

    name = "webui"
    verbose_name = "Dashboard"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receivers of second factors and migrations, and reserve user names."""
        from webui.signin import names, receivers, roles

        receivers.connect()
        names.guard()
        post_migrate.connect(
            roles.install_after_migrate, sender=self, dispatch_uid="webui.signin.roles"
        )
        post_migrate.connect(make_cache_table, sender=self, dispatch_uid="webui.cache")


def make_cache_table(*, using: str, **_kwargs: Any) -> None:
    """Receive `post_migrate`: the cache's table belongs to no model, so no migration makes it."""
    from django.core.management import call_command

    call_command("createcachetable", database=using, verbosity=0)
