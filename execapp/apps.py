from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    name = "execapp"
    verbose_name = "Executions"
    default_auto_field = "django.db.models.BigAutoField"
