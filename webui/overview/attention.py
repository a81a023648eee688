"""The items that need attention: at most five queries for any number of templates."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Subquery

from execapp.models import Execution
from templatemgr.models import (
    Build,
    BuildState,
    HealthState,
    Promotion,
    Template,
    Version,
    unsafe_rows,
)
from webui.promotions.package_changes import compare


@dataclass(frozen=True, kw_only=True)
class AttentionItem:
    """A card of the overview; `kind` selects its text.

    `version` is the version in question, `build` the failed build.
    """

    kind: str  # "quarantined", "ready", "first", "failed", "damaged", "unbuilt"
    template: Template
    version: Version | None = None
    build: Build | None = None
    moved: int = 0
    major: int = 0
    damaged: tuple[int, ...] = ()  # quarantined versions that are not current, newest first

    @property
    def smoke(self) -> str:
        """The smoke cases with the expected result, such as "3 of 3"."""
        cases = self.version.smoke if self.version else []
        return f"{sum(1 for case in cases if case.get('ok'))} of {len(cases)}" if cases else ""


def items(templates: Sequence[Template]) -> list[AttentionItem]:
    """Return the cards, most urgent first: not served, failed, ready, damaged, not built."""
    newest, builds, damaged = _newest(templates), _latest_builds(templates), _damaged()
    found: list[AttentionItem] = []
    for template in templates:
        version, build = newest.get(template.pk), builds.get(template.pk)
        current = template.current
        if current is not None and current.health.state == HealthState.QUARANTINED:
            found.append(AttentionItem(kind="quarantined", template=template, version=current))
        if numbers := damaged.get(template.pk):
            found.append(AttentionItem(kind="damaged", template=template, damaged=tuple(numbers)))
        if build is not None and build.state == BuildState.FAILED:
            found.append(AttentionItem(kind="failed", template=template, build=build))
        if version is not None and current is None:
            found.append(AttentionItem(kind="first", template=template, version=version))
        elif version is not None and current is not None and _waits(version, current):
            found.append(_ready(template, current, version))
        elif version is None and current is None:
            found.append(AttentionItem(kind="unbuilt", template=template, build=build))
    order = ("quarantined", "failed", "ready", "first", "damaged", "unbuilt")
    return sorted(found, key=lambda item: order.index(item.kind))


def offers_playground(username: str, templates: Sequence[Template]) -> bool:
    """Return whether the user has run nothing yet although a version can run."""
    if not any(template.current and template.current.healthy for template in templates):
        return False
    return not Execution.objects.filter(client=username, token__isnull=True).exists()


def _newest(templates: Sequence[Template]) -> dict[int, Version]:
    """Return the newest healthy version of each template."""
    healthy = Version.objects.filter(
        template=OuterRef("pk"), health__state=HealthState.VERIFIED
    ).order_by("-number")
    wanted = Template.objects.annotate(newest=Subquery(healthy.values("pk")[:1]))
    promoted = Promotion.objects.filter(to_version=OuterRef("pk"))
    rows = Version.objects.filter(pk__in=wanted.values("newest")).annotate(
        was_current=Exists(promoted)
    )
    return {version.template_id: version for version in rows} if templates else {}


def _waits(version: Version, current: Version) -> bool:
    """Return whether a version waits for promotion; one that was current was rolled back."""
    return version.number > current.number and not getattr(version, "was_current", False)


def _damaged() -> dict[int, list[int]]:
    """Return the numbers of quarantined versions that are not current, by template."""
    rows = Version.objects.filter(unsafe_rows()).exclude(
        pk__in=Template.objects.filter(current__isnull=False).values("current")
    )
    found: dict[int, list[int]] = {}
    for owner, number in rows.order_by("-number").values_list("template_id", "number"):
        found.setdefault(owner, []).append(number)
    return found


def _latest_builds(templates: Sequence[Template]) -> dict[int, Build]:
    last = Build.objects.filter(template=OuterRef("pk")).order_by("-created_at")
    wanted = Template.objects.annotate(last=Subquery(last.values("pk")[:1]))
    rows = Build.objects.filter(pk__in=wanted.values("last"))
    return {build.template_id: build for build in rows} if templates else {}


def _ready(template: Template, current: Version, version: Version) -> AttentionItem:
    moved = compare(current.packages, version.packages)
    return AttentionItem(
        kind="ready",
        template=template,
        version=version,
        moved=len(moved.changes),
        major=moved.major,
    )
