"""A fork server: a loaded runner in a sandbox of its own, and the sandboxes that it forks.

It belongs to one tree, mode and tier. A server of the tier `bare` has loaded the runner alone; one
of the tier `preloaded` also the modules that the definition names, because the cost of a fork grows
with the memory of the process (decision 0035).
"""

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Literal, Self

from sandbox.errors import SandboxError, StartupError
from sandbox.forkserver import inspection
from sandbox.isolation import confinement, forked
from sandbox.isolation.container import Container
from sandbox.isolation.launch import Shares, launch, this_host
from sandbox.limits import MIB, Limits
from sandbox.session.sessions import Session, await_ready, shares_of
from sandbox.session.submission import SourceFile, Tree, links_of, shared_bytes, tree_profile

Tier = Literal["bare", "preloaded"]
TIERS: tuple[Tier, ...] = ("bare", "preloaded")
PRELOAD = "STENCIL_PRELOAD"  # in a tree's environment: the modules that its runner loads early
_FORK = "STENCIL_FORK"  # tells the runner that it is a server
_PROCESSES = 256  # clones count as the server's until they are in their own control groups
_MEMORY_BYTES = 1024 * MIB


def tiers(tree: Tree) -> tuple[Tier, ...]:
    """Return the tiers of servers that a tree can have."""
    if not tree.forks:
        return ()
    return TIERS if tree.env.get(PRELOAD, "").split() else ("bare",)


def tier_for(tree: Tree, files: Iterable[SourceFile]) -> Tier:
    """Return the tier that suits these files: whether one names a module that is loaded early.

    A wrong guess costs the time of an import; the answer is the same.
    """
    names = [name.encode() for name in tree.env.get(PRELOAD, "").split()]
    if names and any(name in file.content for file in files for name in names):
        return "preloaded"
    return "bare"


class ForkServer:
    """One running server. Any thread may call `fork`; the owner calls `close`."""

    def __init__(self, container: Container, tree: Tree, process: forked.Server) -> None:
        self._container = container
        self._tree = tree
        self._process = process
        self._expected = confinement.expected_forked(
            as_root=this_host().as_root, server=process.pid
        )
        self._lock = threading.Lock()
        self._made: list[forked.ForkedContainer] = []
        self._forking = 0
        self._retired = False
        self.forks = 0
        self.since = time.monotonic()

    @classmethod
    def start(cls, tree: Tree, limits: Limits, *, slot: str, tier: Tier) -> Self:
        """Start a server and check it from outside.

        Raises as `sessions.start` does; ConfinementError if its clones would share anything.
        """
        deadline = time.monotonic() + limits.startup_ms / 1000
        without = {PRELOAD: ""} if tier == "bare" and PRELOAD in tree.env else {}
        env = {_FORK: "1", **without}
        inside = replace(tree_profile(tree, limits, env=env), server=True)
        shares = Shares(
            memory_bytes=max(limits.memory_bytes, _MEMORY_BYTES),
            processes=max(limits.processes, _PROCESSES),
            low_priority=True,
        )
        container = launch(inside, shares, slot=slot, startup_ms=limits.startup_ms, channel=True)
        try:
            await_ready(container, deadline)
            as_root = this_host().as_root
            inspection.check(container.init, as_root=as_root)
            assert container.channel is not None  # noqa: S101 - launched with one
            process = forked.Server(pid=container.init, control=container.channel)
            process.configure(links_of(tree))
            container.group.set_priority(low=False)
        except OSError as error:
            container.close()
            raise SandboxError(f"the fork server has died: {error}") from error
        except BaseException:
            container.close()
            raise
        return cls(container, tree, process)

    @property
    def alive(self) -> bool:
        """Return whether the server's process lives."""
        return self._container.alive()

    @property
    def memory_bytes(self) -> int:
        """Return the memory of the server alone in bytes; 0 when it is gone."""
        with suppress(OSError):
            return self._container.group.memory_used()
        return 0

    @property
    def busy(self) -> bool:
        """Return whether a sandbox that it has forked still lives. They would end with it."""
        with self._lock:
            self._made = [made for made in self._made if made.alive()]
            return bool(self._made) or self._forking > 0

    def retire(self) -> None:
        """Fork no more. Close the server when it is no longer busy."""
        with self._lock:
            self._retired = True

    def fork(self, limits: Limits, *, slot: str) -> Session:
        """Fork a sandbox; wait until its runner is ready and the host has checked it.

        StartupError when the server is retired, dead or does not answer, LimitsError when the
        kernel refuses the limits, ConfinementError when the sandbox is not locked down.
        """
        with self._lock:
            if self._retired:
                raise StartupError("the fork server is retired")
            self._forking += 1
        try:
            return self._fork(limits, slot)
        finally:
            with self._lock:
                self._forking -= 1

    def _fork(self, limits: Limits, slot: str) -> Session:
        began = time.monotonic()
        deadline = began + limits.startup_ms / 1000
        container = forked.fork(
            self._process, shares_of(limits), slot=slot, disk_bytes=limits.disk_bytes,
            shared_bytes=shared_bytes(limits), deadline=deadline,
        )  # fmt: skip
        try:
            await_ready(container, deadline)
            confinement.check_against(container.init, self._expected)
        except BaseException:
            container.close()
            raise
        with self._lock:
            self.forks += 1
            self._made = [made for made in self._made if made.alive()]
            self._made.append(container)
        return Session(
            container,
            limits,
            setup_ms=(time.monotonic() - began) * 1000,
            setup_cpu_ms=container.group.cpu_ms(),
            start="fork",
            variables=self._tree.variables,
        )

    def close(self) -> None:
        """End the server, and with it every sandbox that it has forked."""
        self._container.close()
