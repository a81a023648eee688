"""What the pages of promotions read, and the pages of other families about promotions."""

from collections.abc import Iterable, Mapping

from django.http import HttpRequest

from templatemgr.models import Template, Version
from webui.shell import confirmations, decorators


def roll_back_confirmations(
    request: HttpRequest, templates: Iterable[Template], previous: Mapping[int, Version]
) -> list[confirmations.Confirmation]:
    """Return a confirmation for each roll back that the user may do from a page of templates.

    `previous`: the version before the current one, by the template's primary key.
    """
    if not decorators.may(request, "templatemgr.promote_version"):
        return []
    return [
        confirmations.roll_back(template, previous[template.pk])
        for template in templates
        if template.pk in previous and not template.pinned
    ]
