"""Pins of clients: the version of a template for submissions that name no version.

Pins map template names to version numbers. `tokens.create` takes the pins of a new token. A page
that changes a token shows the result of `of` and calls `replace` with the complete new pins ({}
removes all). `add` and `replace` raise InvalidRequestError with the path `pins.<template>`, and
write the audit trail.
"""

from collections.abc import Iterable, Mapping

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from core import parsing
from core.database.prepared import Param, Prepared
from execapp.errors import Field, InvalidRequestError, PinBrokenError
from execapp.models import ApiToken, TokenPin
from templatemgr import audit, catalog
from templatemgr.errors import TemplateError, UnavailableError
from templatemgr.models import HealthState, Template, Version
from templatemgr.promotion import promotions

# Nearly every submission runs this query and few tokens have a pin, so it selects little.
_PINNED = Prepared(
    lambda: TokenPin.objects.filter(
        token=Param(ApiToken, "id", "token"), template__name=Param(Template, "name")
    ).values_list("version_id", flat=True)[:1]
)


def parse(texts: Iterable[str]) -> dict[str, int]:
    """Return {"typescript": 7} for ["typescript@7"]. Raise InvalidRequestError."""
    found: dict[str, int] = {}
    for text in texts:
        name, _, digits = text.partition("@")
        number = parsing.whole_or_none(digits)
        if not name or number is None:
            message = f"{text[:100]!r} is not a version: write typescript@7."
            raise InvalidRequestError([Field(path="pins", message=message)])
        if name in found:
            raise InvalidRequestError([Field(path=f"pins.{name[:100]}", message="Give it once.")])
        found[name] = number
    return found


def of(*, token: ApiToken) -> dict[str, int]:
    """Return the pins of a token, sorted by name: template name → version number."""
    rows = token.pins.order_by("template__name")
    return dict(rows.values_list("template__name", "version__number"))


def replace(*, token: ApiToken, pins: Mapping[str, int], actor: str) -> None:
    """Replace all pins of a token. Raise InvalidRequestError for an unknown version."""
    with transaction.atomic():
        before = of(token=token)
        if before == dict(pins):
            return
        token.pins.all().delete()
        add(token=token, pins=pins, actor=actor)
        details = {"id": str(token.id), "from": before, "to": dict(pins)}
        audit.append(actor=actor, action="token.pin", object=token.name, details=details)


def add(*, token: ApiToken, pins: Mapping[str, int], actor: str) -> None:
    """Add pins for templates that the token does not pin yet, in the caller's transaction."""
    # Lock in the order of names, so that two transactions cannot deadlock.
    for name, number in sorted(pins.items()):
        version = _pinnable(name, number)
        TokenPin.objects.create(
            token=token, template=version.template, version=version, created_by=actor
        )


def resolve(*, reference: str, token: ApiToken | None) -> Version:
    """Return the healthy version of a reference; a bare name means the token's pin, else current.

    Raise the errors of `catalog.resolve`, UnavailableError if the pinned version is quarantined,
    and PinBrokenError if it was removed. There is no fallback to another version.
    """
    version = None if token is None or "@" in reference else _pinned(reference, token)
    if version is None:
        return catalog.resolve(reference=reference)
    if version.healthy:
        return version
    client, name = token.name if token else "", version.template.name
    back = f"name a version ({name}@N), or have the token pinned to another one"
    details = {"template": name, "version": version.number, "pinned": True}
    if version.health.state == HealthState.RETIRED:
        message = f"{client} is pinned to {version}, which was removed: {back}."
        raise PinBrokenError(message, details=details)
    message = f"{client} is pinned to {version}, which is {version.health.state}: {back}."
    raise UnavailableError(message, **details)


def version_in_use(version: Version) -> str | None:
    """Return why a version cannot be removed: usable tokens pin it. Else None."""
    usable = Q(token__expires_at__isnull=True) | Q(token__expires_at__gt=timezone.now())
    rows = TokenPin.objects.filter(usable, version=version, token__revoked_at__isnull=True)
    names = sorted(set(rows.values_list("token__name", flat=True)))
    if not names:
        return None
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} pinned to it"


def _pinned(name: str, token: ApiToken) -> Version | None:
    pinned = _PINNED.first(token=token.id, name=name)
    if pinned is None:
        return None
    return Version.objects.select_related("template", "health").get(id=pinned)


def _pinnable(name: str, number: int) -> Version:
    """Return a locked version: a removal waits for the lock and then sees the new pin."""
    try:
        promotions.locked(name)
        version = catalog.get_version(template=name, number=min(number, parsing.LARGEST))
    except TemplateError as error:
        problem = Field(path=f"pins.{name[:100]}", message=error.message)
        raise InvalidRequestError([problem]) from error
    if not version.healthy:
        text = f"{version} is {version.health.state}: a token cannot be pinned to it."
        raise InvalidRequestError([Field(path=f"pins.{name}", message=text)])
    return version
