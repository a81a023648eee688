"""Errors of Stencil's own side. A failing program is an `Outcome`, never an exception."""


class SandboxError(Exception):
    """Base of every error of this package; the message is for operators."""


class IsolationUnavailableError(SandboxError):
    """This machine cannot isolate (no bubblewrap, no namespaces, no libseccomp)."""


class StartupError(SandboxError):
    """The sandbox or its runner did not become ready; the submission was never delivered."""


class LostError(SandboxError):
    """A sandbox was ended from outside during its job, whose own end is therefore unknown."""


class LimitsError(SandboxError):
    """A started sandbox cannot take these limits (they would grow, or the kernel refuses)."""


class UsedError(SandboxError):
    """A session got a second job; a sandbox serves one submission."""


class CageStoppedError(SandboxError):
    """Stencil killed a command in a cage: for time, memory, disk, or on request (`reason`)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ConfinementError(SandboxError):
    """A started sandbox is not locked down: a fault of this machine or of the template.

    The sandbox was killed, and the submission was never delivered. A new attempt fails, too.
    """
