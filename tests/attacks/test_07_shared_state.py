"""Class 7: executions share no state, and none leaves its network namespace."""

import pytest

from tests.attacks.attack import Attack, call, program
from tests.attacks.conftest import Assault

PLACES = ("/tmp", "/dev/shm", "/workspace", "/workspace/src", "/var/tmp", "/run", "/dev/mqueue")


def second(name: str, first: str, *answers: str) -> Attack:
    """Make an attack that looks for what an earlier execution has left."""
    return Attack(name=name, kind="call", code=name, answers=(*answers, "ABSENT"), before=first)


ATTACKS: tuple[Attack, ...] = (
    second("segment_get", "segment_put", "ENOENT"),
    second("queue_get", "queue_put", "ENOENT"),
    second("semaphore_get", "semaphore_put", "ENOENT"),
    second("posix_get", "posix_put", "ENOENT"),
    call("lease_sealed", "EPERM"),
    call("uring_setup", "EPERM", "ENOSYS"),
    call("uring_register", "EPERM", "ENOSYS"),
    call("vsock", "EPERM", "EAFNOSUPPORT"),
    call("pair_vsock", "EPERM", "EAFNOSUPPORT"),
    call("alg", "EPERM", "EAFNOSUPPORT"),
    call("packet", "EPERM", "EAFNOSUPPORT"),
    call("key_add", "EPERM"),
    program(
        "folders are empty",
        f"say({list(PLACES)}.filter((at) => fs.existsSync(at))"
        ".flatMap((at) => fs.readdirSync(at)).sort());",
        ["main.mjs", "node_modules", "package.json", "src"],
    ),
    program("two processes at most", "say(processes().length <= 3);", True),
    program(
        "its cgroup is not to be written",
        "say([1, 2].every(() => !fs.existsSync('/sys/fs/cgroup')));",
        True,
    ),
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_no_state_is_shared(attack: Attack, assault: Assault) -> None:
    assault(attack)
