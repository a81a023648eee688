"""List each protection, how to lower it, and the attacks that it stops, for attacks_lowered.py."""

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

from core import documents
from sandbox import cage
from sandbox.cgroup import groups
from sandbox.isolation import confinement, process, profile, seccomp
from sandbox.isolation.launch import starts_as_root
from sandbox.limits import MIB
from sandbox.session import paths, runner_messages, verdict
from tests.attacks import (
    host_trials,
    test_01_planted_links,
    test_03_network_reach,
    test_05_information_leaks,
    test_07_shared_state,
    test_08_leftover_processes,
    test_09_system_calls,
    test_10_resource_bombs,
    test_11_forged_reports,
    test_12_template_poisoning,
    test_18_privileged_programs,
)
from tests.attacks.attack import Attack, call
from tests.attacks.host_trials import Trial
from tests.attacks.testbed import SECRET, Arena

Lower = Callable[[Arena], AbstractContextManager[object]]

ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)  # BPF: return SECCOMP_RET_ALLOW


@dataclass(frozen=True, kw_only=True)
class Protection:
    """A protection: how to lower it, and the attacks to try then. `limits` replace the patch."""

    name: str
    attacks: Sequence[Attack | Trial]
    lower: Lower = lambda _: nullcontext()
    limits: Mapping[str, int] = field(default_factory=dict)


def named(attacks: Sequence[Attack], *names: str) -> list[Attack]:
    """Return some attacks of a table by name; raise KeyError for an unknown name."""
    table = {attack.name: attack for attack in attacks}
    return [table[name] for name in names]


def without_options(*gone: str) -> Lower:
    """Return a patch that removes these options of bubblewrap."""
    spaces = profile._namespaces
    return lambda _: patch.object(
        profile,
        "_namespaces",
        lambda *given: tuple(item for item in spaces(*given) if item not in gone),
    )


def other_profile(change: Callable[[profile.Profile, Arena], profile.Profile]) -> Lower:
    """Return a patch that changes the profile of each sandbox."""
    real = profile.options

    def lower(made: Arena) -> AbstractContextManager[object]:
        return patch.object(
            profile,
            "options",
            lambda given, inside, numbers: real(given, change(inside, made), numbers),
        )

    return lower


def with_network(inside: profile.Profile, _: Arena) -> profile.Profile:
    return replace(inside, network=True)


def with_host(inside: profile.Profile, made: Arena) -> profile.Profile:
    return replace(inside, binds=(*inside.binds, (str(made.root), str(made.root), True)))


def writable_template(inside: profile.Profile, _: Arena) -> profile.Profile:
    return replace(inside, binds=tuple((source, place, True) for source, place, _ in inside.binds))


def shared_tmp(inside: profile.Profile, made: Arena) -> profile.Profile:
    kept = tuple(one for one in inside.tmpfs if one.at not in ("/tmp", "/dev/shm"))
    return replace(
        inside,
        tmpfs=kept,
        binds=(*inside.binds, (str(made.root / "shared"), "/tmp", True)),
    )


@contextmanager
def inherited_environment(_: Arena) -> Iterator[None]:
    """Pass the service's own environment to the sandbox."""
    spawn, given, named = process.spawn, profile._environment, profile._renaming

    def inheriting(host: profile.Host, count: int) -> tuple[str, ...]:
        return tuple(word.removeprefix("-i ") for word in named(host, count))

    with (
        patch.dict(os.environ, {"STENCIL_SECRET_KEY": SECRET}),
        patch.object(
            process,
            "spawn",
            lambda argv, numbers, _, **more: spawn(argv, numbers, dict(os.environ), **more),
        ),
        patch.object(profile, "_environment", lambda *both: given(*both)[1:]),
        patch.object(profile, "_renaming", inheriting),
    ):
        yield


def unseen(lower: Lower) -> Lower:
    """Lower a protection, and keep the host from checking it."""

    @contextmanager
    def both(made: Arena) -> Iterator[None]:
        with lower(made), patch.object(confinement, "check", lambda *_, **__: None):
            yield

    return both


@contextmanager
def inherited_descriptors(made: Arena) -> Iterator[None]:
    """Leave a folder of the host open and inheritable at the start."""
    leak = os.open(made.canaries, os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        with patch.object(process, "_open_from", lambda _: []):
            yield
    finally:
        os.close(leak)


def links_followed(_: Arena) -> AbstractContextManager[object]:
    """Change the owner of a build's folder as `chown -R` with a careless option would."""

    def give(folder: Path, owner: int) -> None:
        for path in (folder, *folder.rglob("*")):
            with suppress(OSError):
                os.chown(path, owner, owner)

    return patch.object(cage, "_give", give)


def paths_unchecked(_: Arena) -> AbstractContextManager[object]:
    return patch.multiple(paths, _fault=lambda _: None, _files_used_as_folders=lambda _: ())


def any_body(_: Arena) -> AbstractContextManager[object]:
    """Read JSON with Python's own, lenient parser."""
    return patch.multiple(
        documents,
        _object=lambda pairs, _: dict(pairs),
        _constant=float,
        json_float=float,
        json_integer=int,
        _check_budget=lambda *_: None,
        _check_surrogates=lambda _: None,
    )


def any_message(_: Arena) -> AbstractContextManager[object]:
    return patch.multiple(
        runner_messages,
        _object=dict,
        _constant=float,
        _no_more=lambda *_: None,
        _text=lambda fields, key, _: fields.pop(key, None),
        _duration=lambda value: value,
        MAX_LINE_BYTES=2**40,
        MAX_ERRORS=2**40,
    )


@contextmanager
def daemons_live(made: Arena) -> Iterator[None]:
    """Keep the pid namespace and the control group from ending with the run."""
    with (
        without_options("--unshare-pid")(made),
        patch.object(groups._Folders, "kill", lambda _: None),
    ):
        yield


def protections() -> list[Protection]:
    """Return every protection with the attacks that it stops."""
    calls, sight, reach = (
        test_09_system_calls.ATTACKS,
        test_05_information_leaks.ATTACKS,
        test_03_network_reach.ATTACKS,
    )
    links, sharing = test_01_planted_links.ATTACKS, test_07_shared_state.ATTACKS
    bombs = test_10_resource_bombs.ATTACKS
    identity = "become_root become_root_group become_all file_root more_groups one_capability"
    hidden = ("the canary", "the canary by our own root", "the canary by dots")
    found = [
        Protection(
            name="system-call filter",
            attacks=calls,
            lower=lambda _: patch.object(seccomp, "program", lambda: ALLOW_ALL),
        ),
        Protection(
            name="network namespace",
            attacks=named(
                reach,
                "the host's loopback",
                "the host's loopback, another address of it",
                "the host's loopback by zero",
                "the host's loopback, mapped",
                "the host's own address",
                "an abstract socket of the host",
                "interfaces",
                "names of the host's sockets",
                "routes of the host",
                "connections of the host",
                "bash's own network",
            ),
            lower=unseen(other_profile(with_network)),
        ),
        Protection(
            name="pid namespace",
            attacks=[
                *named(
                    sight,
                    "processes of others",
                    "signals to a host process",
                    "read a host process",
                    "command lines",
                ),
                call("signal_host", "ESRCH"),
            ],
            lower=unseen(without_options("--unshare-pid")),
        ),
        Protection(
            name="pid namespace, and the end of the control group",
            attacks=test_08_leftover_processes.ATTACKS[:9],
            lower=unseen(daemons_live),
        ),
        Protection(
            name="ipc namespace",
            attacks=named(sharing, "segment_get", "queue_get", "semaphore_get", "posix_get"),
            lower=unseen(without_options("--unshare-ipc")),
        ),
        Protection(
            name="minimal mounts",
            attacks=[
                *named(sight, *(f"read {name}" for name in hidden)),
                *named(reach, "a Unix socket of the host"),
                *links,
            ],
            lower=other_profile(with_host),
        ),
        Protection(
            name="read-only template",
            attacks=test_12_template_poisoning.ATTACKS[:21],
            lower=other_profile(writable_template),
        ),
        Protection(
            name="own /tmp and /dev/shm",
            attacks=named(sharing, "folders are empty"),
            lower=other_profile(shared_tmp),
        ),
        Protection(
            name="cleared environment",
            attacks=named(sight, "printenv"),
            lower=inherited_environment,
        ),
        Protection(
            name="closed descriptors",
            attacks=named(sight, "descriptors left open", "a working folder by a descriptor"),
            lower=inherited_descriptors,
        ),
        Protection(
            name="memory limit",
            attacks=named(
                bombs,
                "buffers",
                "a child's buffers",
                "a private map",
                "a shared anonymous map",
                "a file in memory",
                "a System V segment",
                "memory of many children",
                "tmpfs of all places",
            ),
            limits={"memory_bytes": 2048 * MIB},
        ),
        Protection(
            name="limit of processes",
            attacks=named(bombs, "forks", "threads", "children by the hundred"),
            limits={"processes": 1000},
        ),
        Protection(
            name="output cap",
            attacks=named(bombs, "three megabytes to each"),
            limits={"output_bytes": 16 * MIB},
        ),
        Protection(
            name="wall-clock limit",
            attacks=named(bombs, "sleep beyond the wall-clock limit", "busy handlers of signals"),
            limits={"wall_ms": 20_000},
        ),
        Protection(
            name="limit of CPU time",
            attacks=named(bombs, "busy loop beyond the CPU limit", "CPU time in children"),
            limits={"cpu_ms": 20_000},
        ),
        Protection(
            name="limit of a file's size",
            attacks=named(bombs, "sparse"),
            limits={"file_bytes": 2**50},
        ),
        Protection(
            name="limit of open files",
            attacks=named(bombs, "descriptors", "sockets without end"),
            limits={"open_files": 8192},
        ),
        Protection(
            name="reports that must agree with the exit status",
            attacks=test_11_forged_reports.ATTACKS,
            lower=lambda _: patch.object(verdict, "_disagreement", lambda *_: None),
        ),
    ]
    found += [
        Protection(
            name="checks of paths", attacks=host_trials.wrong_paths(), lower=paths_unchecked
        ),
        Protection(
            name="strict JSON of clients", attacks=host_trials.client_documents(), lower=any_body
        ),
        Protection(
            name="strict JSON of runners",
            attacks=host_trials.messages_of_a_runner(),
            lower=any_message,
        ),
    ]
    if starts_as_root():
        found.append(
            Protection(
                name="no link is followed when a build's folder changes its owner",
                attacks=host_trials.planted_links(),
                lower=links_followed,
            )
        )
        found.insert(
            1,
            Protection(
                name="dropped rights (setpriv)",
                attacks=[
                    *named(calls, *identity.split()),
                    *named(sight, "the first process's environment"),
                ],
                lower=unseen(lambda _: patch.object(profile, "_drop", lambda _: ())),
            ),
        )
        found += [
            Protection(
                name="variables are set after the drop",
                attacks=test_18_privileged_programs.variable_trials(),
                lower=unseen(lambda _: test_18_privileged_programs.named_before()),
            ),
            Protection(
                name="the host checks a ready sandbox",
                attacks=test_18_privileged_programs.looked_at_trials(),
                lower=unseen(lambda _: nullcontext()),
            ),
            Protection(
                name="read-only devices",
                attacks=test_18_privileged_programs.device_trials(),
                lower=lambda _: test_18_privileged_programs.unsealed(),
            ),
        ]
    return found
