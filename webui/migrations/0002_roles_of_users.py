"""Who was staff before there were roles is an admin now, everybody else a viewer."""

from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def give_roles(apps: Apps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Put each user without a group into one; what the groups may do comes after migrating."""
    users = apps.get_model(settings.AUTH_USER_MODEL).objects.filter(groups__isnull=True)
    groups = apps.get_model("auth", "Group").objects
    for user in users:
        name = "admin" if user.is_staff or user.is_superuser else "viewer"
        user.groups.add(groups.get_or_create(name=name)[0])


class Migration(migrations.Migration):
    dependencies = [
        ("webui", "0001_permissions"),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunPython(give_roles, migrations.RunPython.noop)]
