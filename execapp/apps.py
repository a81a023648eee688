"""The app of executions."""

from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    """Executions: users of versions and events of deliveries are registered when it is ready."""

    name = "execapp"
    verbose_name = "Executions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register who still needs a version, and the event of a finished execution."""
        from execapp.api.judge0 import known
        from execapp.api.judge0 import results as judge0
        from execapp.api.presenters import callbacks
        from execapp.deliveries import events
        from execapp.services import claims, token_pins
        from templatemgr.promotion import usage

        usage.register("executions", claims.version_in_use)
        usage.register("clients", token_pins.version_in_use)
        events.register(
            events.Event(name=events.EXECUTION_FINISHED, body=callbacks.finished_execution)
        )
        events.register(events.Event(name=known.FINISHED, body=judge0.callback, method="PUT"))
