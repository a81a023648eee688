"""Names of slots: a process that works for another puts the other's name before its slots.

The name stands in control groups and in the environment of bubblewrap, where the remains of a
killed process are found (see `cgroup.leases.sweep` and `isolation.orphans.sweep`).
"""

_owner = ""


def belong_to(owner: str) -> None:
    """Let all slots of this process begin with `owner`. Call it before the first slot is used."""
    global _owner
    _owner = f"{owner}-"


def full(slot: str) -> str:
    """Return the name of a slot that is unique on this machine."""
    return _owner + slot
