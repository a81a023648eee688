"""The word for the state of a build. Pure."""

from templatemgr.models import Build, BuildState


def state_text(build: Build) -> str:
    """Return the text of a build's pill."""
    if build.state == BuildState.FAILED and build.step:
        return f"failed at {build.step}"
    if build.reproduces is not None:
        return f"reproduces {build.reproduces.number}"
    return str(build.state)
