"""The app of executions."""

from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    """Executions: the users of versions are registered when the app is ready."""

    name = "execapp"
    verbose_name = "Executions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the probes for versions that open executions and pinned clients still need."""
        from execapp.services import claims, token_pins
        from templatemgr.promotion import usage

        usage.register("executions", claims.version_in_use)
        usage.register("clients", token_pins.version_in_use)
