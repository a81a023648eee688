"""What can go wrong on our side. A program that fails is an `Outcome`, never an exception."""


class SandboxError(Exception):
    """Base of every error of this package; the message is for operators."""


class IsolationUnavailableError(SandboxError):
    """This machine cannot isolate (no bubblewrap, no namespaces, no libseccomp)."""


class StartupError(SandboxError):
    """The sandbox or its runner did not become ready; the submission was never delivered."""


class LimitsError(SandboxError):
    """A started sandbox cannot take these limits (they would grow, or the kernel refuses)."""


class UsedError(SandboxError):
    """A session was asked for a second job; a sandbox serves one submission only."""


class CageStoppedError(SandboxError):
    """A command in a cage was killed by us: for time, memory, or on request (`reason`)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ConfinementError(SandboxError):
    """A started sandbox is not what it must be: a fault of this machine, or of the template.

    It was killed, and the submission was never delivered. Trying again gives the same.
    """
