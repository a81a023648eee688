"""The versions that the playground offers."""

from templatemgr.models import HealthState, Template, Version

MOST_VERSIONS = 100


def options(wanted: str = "") -> list[tuple[str, str]]:
    """Return the versions that can run, as reference and text.

    First the current version of each template, then each healthy version by number. `wanted` is
    offered even if it is not among them.
    """
    templates = Template.objects.select_related("current").order_by("name")
    found = [
        (each.name, f"{each.name} · current ({each.current.number})")
        for each in templates
        if each.current is not None
    ]
    healthy = Version.objects.filter(health__state=HealthState.VERIFIED)
    rows = healthy.order_by("template__name", "-number").values_list("template__name", "number")
    found += [
        (f"{name}@{number}", f"{name} · version {number}") for name, number in rows[:MOST_VERSIONS]
    ]
    if "@" in wanted and wanted not in {value for value, _ in found}:
        found.append((wanted, wanted))
    return found
