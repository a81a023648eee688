"""Whose sandboxes these are: a process that works for another puts its name before its slots.

What it leaves behind when it is killed is then found by that name, in control groups and in the
environment of bubblewrap (see `cgroups.sweep` and `orphans.sweep`).
"""

_owner = ""


def belong_to(owner: str) -> None:
    """From here on, slots of this process begin with `owner`; before it makes any."""
    global _owner
    _owner = f"{owner}-"


def full(slot: str) -> str:
    """The name of a slot, for everybody on this machine."""
    return _owner + slot
