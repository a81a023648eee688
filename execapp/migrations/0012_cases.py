"""The cases of an execution, and their results."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("execapp", "0011_token_limits_and_usage")]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="cases",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="execution",
            name="case_results",
            field=models.JSONField(blank=True, null=True),
        ),
    ]
