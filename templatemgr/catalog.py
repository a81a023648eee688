"""Find templates and versions: by name, by number, by digest."""

import logging
import re
from pathlib import Path

from django.conf import settings
from django.db import transaction

from core.database.prepared import Param, Prepared
from templatemgr import operator_rules
from templatemgr.definitions import definition_file, source_files
from templatemgr.definitions.definition import Definition
from templatemgr.errors import (
    NotBuiltError,
    UnavailableError,
    UnknownTemplateError,
    UnknownVersionError,
)
from templatemgr.models import Template, Version

logger = logging.getLogger(__name__)

REFERENCE = re.compile(
    r"(?P<name>[^@]+)(?:@(?:(?P<number>[0-9]{1,9})|sha256:(?P<hex>[0-9a-f]{64})))?"
)


_BY_NAME = Prepared(
    lambda: Template.objects.filter(name=Param(Template, "name")).select_related("current__health")[
        :1
    ]
)


def sync_definitions() -> list[Template]:
    """Create or retitle a row for every definition; never removes one. Raises DefinitionError."""
    folder = Path(settings.STENCIL_DEFINITIONS)
    allowed = operator_rules.current()
    read = [
        definition_file.read(folder / name, allowed)
        for name in source_files.list_definitions(folder)
    ]
    with transaction.atomic():
        return [_sync(definition) for definition in read]


def get(*, name: str) -> Template:
    """Return a template, with its current version. Raises UnknownTemplateError."""
    found = _BY_NAME.first(name=name)
    if found is None:
        message = f"There is no template {name!r}."
        raise UnknownTemplateError(message, template=name)
    if found.current is not None:
        found.current.template = found  # the current version is one of its own
    return found


def get_version(*, template: str, number: int) -> Version:
    """Return a version, healthy or not. Raises UnknownTemplateError, UnknownVersionError."""
    row = get(name=template)
    try:
        return Version.objects.select_related("template", "health", "build").get(
            template=row, number=number
        )
    except Version.DoesNotExist:
        message = f"{template} has no version {number}."
        raise UnknownVersionError(message, template=template, version=number) from None


def resolve(*, reference: str) -> Version:
    """Return the healthy version that "name", "name@7" or "name@sha256:<hex>" means.

    The hex is an identity or a tree digest. Raises UnknownTemplateError, UnknownVersionError,
    NotBuiltError (no version is current), UnavailableError (not healthy: never served).
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise _unknown(reference)
    template = get(name=match["name"])
    if match["number"]:
        version = get_version(template=template.name, number=int(match["number"]))
    elif match["hex"]:
        version = _by_digest(template, match["hex"], reference)
    elif template.current is None:
        message = f"{template.name} has no current version: build it, then promote the build."
        raise NotBuiltError(message, template=template.name)
    else:
        version = template.current
    if not version.healthy:
        health = getattr(version, "health", None)  # a lost row is made again within seconds
        message = f"{version} is {health.state if health else 'not verified'} and is not served."
        raise UnavailableError(message, template=template.name, version=version.number)
    return version


def _sync(definition: Definition) -> Template:
    template, _ = Template.objects.update_or_create(
        name=definition.name, defaults={"title": definition.title}
    )
    return template


def _by_digest(template: Template, digest: str, reference: str) -> Version:
    rows = Version.objects.select_related("template", "health").filter(template=template)
    found = rows.filter(identity=digest).first()
    if found is not None:
        return found
    # Several versions can have the same tree, with different limits or smoke cases.
    same_tree = list(rows.filter(tree_digest=digest).order_by("-number"))
    if not same_tree:
        raise _unknown(reference)
    return next((version for version in same_tree if version.healthy), same_tree[0])


def _unknown(reference: str) -> UnknownVersionError:
    message = f"{reference!r} names no version: write name, name@7 or name@sha256:<64 hex digits>."
    return UnknownVersionError(message, reference=reference)
