"""From a fresh checkout to a running Stencil, and from a stopped one in seconds."""

import os
from collections.abc import Callable

from webui.quickstart import credentials, preparation, processes
from webui.quickstart.credentials import Credentials
from webui.quickstart.first_builds import FirstBuilds
from webui.quickstart.preparation import StartError
from webui.quickstart.supervisor import Supervisor
from webui.quickstart.welcome import Welcome


def run(*, prepare_only: bool, say: Callable[[str], None]) -> None:
    """Prepare the data directory, build the missing templates, and serve until Ctrl-C.

    With `prepare_only` the builds are waited for and nothing is started. `say` gets each line of
    progress, from several threads. Raises StartError.
    """
    preparation.check_isolation()
    lock = preparation.lock_data_directory(say=say)
    try:
        if not prepare_only:
            processes.check_port()  # fail before the builds, not after them
        missing = preparation.prepare(say=say)
        created = credentials.create()
        if prepare_only:
            build_all(missing, say=say)
        else:
            serve(created=created, missing=missing, say=say)
    finally:
        lock.release()


def build_all(missing: list[str], *, say: Callable[[str], None]) -> None:
    """Build these templates and wait for them. StartError names those that were not built."""
    failed: list[str] = []

    def ended(name: str, good: bool) -> None:
        if not good:
            failed.append(name)

    builds = FirstBuilds(missing, env=os.environ, say=say, ended=ended)
    builds.start()
    try:
        builds.wait()
    except BaseException:
        builds.stop()
        raise
    if failed:
        message = f"Not built: {', '.join(sorted(failed))}. The lines above have the reasons."
        raise StartError(message)


def serve(*, created: Credentials | None, missing: list[str], say: Callable[[str], None]) -> None:
    """Start web and executor, then the builds; keep the processes alive until a stop signal."""
    supervisor = Supervisor(processes.programs(), env=os.environ, say=say)
    welcome = Welcome(created=created, missing=missing, say=say)
    builds = FirstBuilds(missing, env=os.environ, say=say, ended=welcome.ended)
    supervisor.start()
    try:
        if processes.wait_until_ready(supervisor):
            welcome.serving()
            builds.start()
    except BaseException:
        supervisor.stop()
        raise
    try:
        supervisor.wait()
    finally:
        builds.stop()
    say("stopped")
