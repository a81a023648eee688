"""The app of templates and versions."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TemplateManagerConfig(AppConfig):
    """Templates: checks and triggers are registered when the app is ready."""

    name = "templatemgr"
    verbose_name = "Templates"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, and the triggers that every migration may have dropped."""
        from core.database import triggers
        from core.engine import checks  # noqa: F401 - importing it registers the check

        post_migrate.connect(
            triggers.install_after_migrate, sender=self, dispatch_uid="core.database.triggers"
        )
