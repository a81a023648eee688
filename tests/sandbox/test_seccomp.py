"""Test the system-call filter with the Python that runs the tests, in a cage."""

import errno
import json
import os
import platform
import sys
from pathlib import Path

import pytest

from sandbox.cage import Cage, run
from sandbox.isolation import seccomp

CALL = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    return 0 if result >= 0 else ctypes.get_errno()
"""

# Numbers of x86-64; those from 424 on are the same elsewhere.
REFUSED = {
    "ptrace": (101, 0),
    "unshare newuser": (272, 0x10000000),
    "setns": (308, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "umount2": (166, 0, 0),
    "pivot_root": (155, 0, 0),
    "chroot": (161, 0),
    "keyctl": (250, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, 0, 0, 0),
    "userfaultfd": (323, 0),
    "io_uring_setup": (425, 1, 0),
    "init_module": (175, 0, 0, 0),
    "reboot": (169, 0, 0, 0),
    "clock_settime": (227, 0, 0),
    "settimeofday": (164, 0, 0),
    "process_vm_readv": (310, 0, 0, 0, 0, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "open_by_handle_at": (304, 0, 0, 0),
    "fsopen": (430, 0, 0),
    "personality no random": (135, 0x0040000),
    "clone newuser": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone newnet": (56, 0x40000000 | 17, 0, 0, 0, 0),
    "socket vsock": (41, 40, 1, 0),
    "socket packet": (41, 17, 3, 0),
    "socket alg": (41, 38, 5, 0),
    "socket netlink audit": (41, 16, 3, 9),
    "socket bluetooth": (41, 31, 1, 0),
    "mknod device": (133, 0, 0o020666, 0x103),
}
ALLOWED = {
    "socket unix": (41, 1, 1, 0),
    "socket inet": (41, 2, 1, 0),
    "socket inet6": (41, 10, 1, 0),
    "socket route": (41, 16, 3, 0),
    "getpid": (39,),
    "personality query": (135, 0xFFFFFFFF),
}


def python_in_a_cage(tmp_path: Path, code: str) -> tuple[int, list[str]]:
    base = Path(sys.base_prefix).resolve()
    real = Path(os.path.realpath(sys.executable))
    lines: list[str] = []
    (tmp_path / "build").mkdir()
    binds = ((base, str(base)),)
    libraries = {"LD_LIBRARY_PATH": str(base / "lib")}  # for a Python with a libpython
    cage = Cage(writable=tmp_path / "build", read_only=binds, env=libraries, wall_ms=120_000)
    status = run(cage, [str(real), "-I", "-c", CALL + code], lambda _, text: lines.append(text))
    return status, lines


x86_64_only = pytest.mark.xfail(
    platform.machine() != "x86_64", reason="numbers of x86-64", run=False, strict=True
)


@x86_64_only
def test_calls_are_refused_or_allowed_as_listed(tmp_path: Path) -> None:
    table = json.dumps({**REFUSED, **ALLOWED})
    code = f"print(json.dumps({{n: call(*c) for n, c in json.loads('{table}').items()}}))"
    status, lines = python_in_a_cage(tmp_path, code)
    assert status == 0, lines
    found = json.loads(lines[0])
    assert {name: found[name] for name in REFUSED} == dict.fromkeys(REFUSED, errno.EPERM)
    assert {name: found[name] for name in ALLOWED} == dict.fromkeys(ALLOWED, 0)


def test_clone3_does_not_exist(tmp_path: Path) -> None:
    status, lines = python_in_a_cage(tmp_path, "print(call(435, 0, 0))")
    assert (status, lines) == (0, [str(errno.ENOSYS)])


@x86_64_only
def test_calls_of_another_abi_kill(tmp_path: Path) -> None:
    x32_getpid = 0x40000000 | 39
    status, lines = python_in_a_cage(tmp_path, f"print(call({x32_getpid})); print('alive')")
    assert "alive" not in lines
    assert status > 128


@x86_64_only
def test_thirty_two_bit_calls_kill(tmp_path: Path) -> None:
    code = """
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # mov eax, 20 (getpid); int 0x80; ret
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print(ctypes.CFUNCTYPE(ctypes.c_int)(address)()); print('alive')
"""
    status, lines = python_in_a_cage(tmp_path, code)
    assert "alive" not in lines
    assert status > 128


def test_the_program_is_built_once() -> None:
    assert seccomp.program() is seccomp.program()
    assert len(seccomp.program()) % 8 == 0


def test_no_call_is_in_two_groups() -> None:
    names = [name for group in seccomp.ALLOWED for name in group.split()]
    assert sorted(names) == sorted(set(names))
