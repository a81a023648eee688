"""Start, try and renew the fork servers of the warm pool.

A server may serve once the host has checked it from outside and the smoke cases of its mode,
run through it, have answered as a build requires. The children of one server share its hash seed
and its memory layout, so it is renewed after a number of them (decision 0035).
"""

import time

from sandbox.errors import SandboxError
from sandbox.forkserver.server import ForkServer, Tier
from sandbox.limits import MIB, Limits
from sandbox.session.sessions import Tree
from templatemgr.definitions.smoke import SmokeCase

MOST_FORKS = 1000
MOST_SECONDS = 1800.0
_GROWTH = 1.5  # of its memory since it has served its smoke cases
_GROWTH_BYTES = 32 * MIB


class TrialError(SandboxError):
    """A smoke case, run through a fork server, did not answer as a build requires."""


class TriedServer:
    """A fork server that has passed its trial. `jobs` are executions that got its sandboxes."""

    def __init__(self, server: ForkServer) -> None:
        self.server = server
        self.jobs = 0
        self.memory_bytes = server.memory_bytes

    def worn(self) -> bool:
        """Return whether another server should take its place: by jobs, time, or memory."""
        server = self.server
        if self.jobs == 0:  # an idle server shares nothing between jobs
            return False
        return (
            server.forks >= MOST_FORKS
            or time.monotonic() - server.since >= MOST_SECONDS
            or server.memory_bytes > self.memory_bytes * _GROWTH + _GROWTH_BYTES
        )


def start(
    tree: Tree, limits: Limits, smoke: tuple[SmokeCase, ...], *, slot: str, tier: Tier
) -> TriedServer:
    """Start a server and try it. SandboxError or OSError if it cannot serve; nothing remains."""
    server = ForkServer.start(tree, limits, slot=slot, tier=tier)
    try:
        for case in smoke:
            _try(server, case, limits, slot)
        server.forks = 0
    except BaseException:
        server.close()
        raise
    return TriedServer(server)


def _try(server: ForkServer, case: SmokeCase, limits: Limits, slot: str) -> None:
    outcome = server.fork(limits, slot=slot).deliver(case.submission, limits)
    wrong = case.expect.mismatches(outcome)
    if outcome.start != "fork":
        wrong.append(f"it was started again: {outcome.cold_reason}")
    if wrong:
        raise TrialError(f"smoke case {case.name}, forked: {'; '.join(wrong)[:500]}")
