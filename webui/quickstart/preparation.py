"""Prepare a data directory for a start: the machine, the lock, the database, static files."""

from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from sandbox import probe
from templatemgr import catalog
from templatemgr.trees import modes
from webui.quickstart.supervisor import AlreadyRunningError, SupervisorLock


class StartError(Exception):
    """Stencil cannot be started here; the message has the reason and the remedy."""


def check_isolation() -> None:
    """Raise StartError if this machine cannot isolate a program."""
    if settings.STENCIL_SANDBOX == "none" or probe.isolation_available():
        return
    missing = [finding for finding in probe.findings() if finding.level == "missing"]
    lines = [f"{each.title}: {each.detail}\n  {each.remedy or ''}" for each in missing]
    raise StartError("\n".join(["This machine cannot run code safely yet.", *lines]))


def lock_data_directory(*, say: Callable[[str], None]) -> SupervisorLock:
    """Make the data directory, take its lock and close its files to other users.

    Raises StartError while another `up` works on the same data.
    """
    data = Path(settings.STENCIL_DATA)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = SupervisorLock(data / "up.lock")
    except AlreadyRunningError as error:
        raise StartError(str(error)) from error
    for opened in modes.close_to_others(data):
        what = "closed to other users" if opened.repaired else opened.trouble
        say(f"{opened.path} had mode {opened.mode:04o}: {what}")
    return lock


def prepare(*, say: Callable[[str], None]) -> list[str]:
    """Migrate, collect static files, read the definitions; return the unbuilt templates' names."""
    say("database: migrating")
    call_command("migrate", verbosity=0, interactive=False)
    say("static files: collecting")
    call_command("collectstatic", verbosity=0, interactive=False)
    missing = []
    for template in catalog.sync_definitions():
        if template.current is not None:
            say(f"{template.name}: version {template.current.number} is current")
        else:
            missing.append(template.name)
    return missing
