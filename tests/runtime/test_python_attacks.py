"""Attacks specific to Python, in addition to tests/attacks, in the real template and its runner.

Each attack must leave the host of the arena unchanged, and a concurrent execution must succeed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from sandbox.limits import MIB
from sandbox.session.outcome import Outcome, State
from tests.attacks import host_snapshot
from tests.attacks.conftest import arena
from tests.attacks.testbed import Arena
from tests.runtime.python_runs import Python

__all__ = ["arena"]

PRELUDE = """
import ctypes, errno, json, mmap, os, signal, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    return "OK" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(body):
    try:
        return body() or "OK"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except Exception as error:
        return type(error).__name__
def say(value):
    print(json.dumps(value), flush=True)
"""
GONE = ("ENOENT", "EACCES", "EPERM", "ENOTDIR")
SEALED = ("EROFS", "EACCES", "EPERM")


@pytest.fixture(scope="module")
def warmed_up(python: Python) -> None:
    """Create the control groups of the slot first, so that they are not reported as a leak."""
    assert python.execute("run", {"main.py": ""}).state is State.SUCCEEDED


@pytest.fixture(autouse=True)
def untouched_host(warmed_up: None, arena: Arena) -> Iterator[None]:
    """Assert that the attack leaves the host unchanged and a concurrent execution succeeds."""
    before = host_snapshot.snapshot(arena)
    with arena.neighbour():
        yield
    found = host_snapshot.changes(before, arena)
    assert not found, f"the host was changed: {found}"


ATTEMPTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mount": ("call(165, 0, 0, 0, 0, 0)", ("EPERM",)),
    "a user namespace": ("call(272, 0x10000000)", ("EPERM",)),
    "tracing": ("call(101, 0)", ("EPERM",)),
    "another's memory": ("call(310, 1, 0, 0, 0, 0, 0)", ("EPERM",)),
    "bpf": ("call(321, 0, 0, 0)", ("EPERM",)),
    "io_uring": ("call(425, 1, 0)", ("EPERM",)),
    "keys": ("call(250, 0, -3, 0)", ("EPERM",)),
    "os.unshare": ("attempt(lambda: os.unshare(os.CLONE_NEWUSER))", ("EPERM",)),
    "os.setns": ("attempt(lambda: os.setns(os.open('/proc/self/ns/net', 0)))", ("EPERM",)),
    "os.chroot": ("attempt(lambda: os.chroot('/tmp'))", ("EPERM",)),
    "os.setuid": ("attempt(lambda: os.setuid(0))", ("EPERM", "EINVAL")),
    "os.setgroups": ("attempt(lambda: os.setgroups([0]))", ("EPERM", "EINVAL")),
    "os.nice": ("attempt(lambda: os.nice(-5))", ("EPERM", "EACCES")),
    "os.mknod": ("attempt(lambda: os.mknod('/tmp/d', 0o20666, os.makedev(1, 1)))", ("EPERM",)),
    "os.openpty": ("attempt(os.openpty)", ("ENOENT", "EPERM", "ENODEV")),
    "raw sockets": (
        "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and None)",
        ("EPERM",),
    ),
    "packet sockets": ("attempt(lambda: socket.socket(17, 3) and None)", ("EPERM",)),
    "vsock": ("attempt(lambda: socket.socket(40, 1) and None)", ("EPERM",)),
    "memory of the first process": ("attempt(lambda: open('/proc/1/mem', 'r+b') and None)", GONE),
    "the host's loopback": (
        "attempt(lambda: socket.create_connection(('127.0.0.1', @PORT@), 2) and None)",
        ("ECONNREFUSED",),
    ),
    "the host's abstract socket": (
        "attempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0@ABSTRACT@'))",
        ("ECONNREFUSED",),
    ),
    "the canary": ("attempt(lambda: open('@SECRET_FILE@').read())", GONE),
    "the service": ("attempt(lambda: open('@HOME@/manage.py').read())", GONE),
    "the interpreter": ("attempt(lambda: open(sys.executable, 'r+b') and None)", SEALED),
    "the standard library": ("attempt(lambda: open(os.__file__, 'a') and None)", SEALED),
    "the runner": ("attempt(lambda: open('/template/runner/stencil.pth', 'w') and None)", SEALED),
    "bytecode beside a module": (
        "attempt(lambda: open(os.path.dirname(json.__file__) + '/__pycache__/x.pyc', 'w') and None)",
        SEALED,
    ),
    "a .pth file": (
        "attempt(lambda: open(__import__('sysconfig').get_path('purelib') + '/x.pth', 'w') and None)",
        SEALED,
    ),
    "a module by rename": (
        "attempt(lambda: os.rename('/template/runner', '/template/x'))",
        SEALED,
    ),
    "descriptor 3": ("attempt(lambda: os.write(3, b'x') and None)", ("EBADF",)),
    "limits raised": (
        "attempt(lambda: __import__('resource').setrlimit(7, (1 << 20, 1 << 20)))",
        ("EPERM", "ValueError"),
    ),
    "the clock": ("attempt(lambda: __import__('time').clock_settime(0, 0))", ("EPERM",)),
    "a host name": ("attempt(lambda: socket.sethostname('x'))", ("EPERM",)),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attack_is_refused(name: str, python: Python, arena: Arena) -> None:
    code, answers = ATTEMPTS[name]
    outcome = python.execute("run", {"main.py": f"{PRELUDE}say({arena.fill(code)})"})
    assert outcome.state is State.SUCCEEDED, outcome
    assert json.loads(outcome.stdout.data) in answers


@dataclass(frozen=True, kw_only=True)
class EndStates:
    """A program with the states in which it may end."""

    code: str
    states: tuple[State, ...]
    limits: Mapping[str, int]


def ends(code: str, *states: State, **limits: int) -> EndStates:
    return EndStates(code=code, states=states, limits=limits)


TIME, OUT, CRASHED = State.TIMED_OUT, State.OUT_OF_MEMORY, State.CRASHED
END_STATES = {
    "a fork bomb": ends("while True:\n    try: os.fork()\n    except OSError: pass", TIME,
                        wall_ms=700, processes=24),
    "threads without end": ends("for _ in range(500): threading.Thread(target=signal.pause).start()",
                                State.FAILED, TIME, OUT, wall_ms=1500, processes=24),
    "a giant list": ends("[bytearray(8 << 20) for _ in iter(int, 1)]", OUT, memory_bytes=128 * MIB),
    "a giant number": ends("10 ** 10 ** 9", TIME, OUT, wall_ms=700),
    "a map of anonymous memory": ends(
        "m = mmap.mmap(-1, 400 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "for at in range(0, len(m), 4096): m[at] = 1",
        OUT, memory_bytes=128 * MIB),
    "recursion in C": ends("sys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self): return repr(self)\n"
                           "def f(n): return [f(n + 1) for _ in range(1)]\nthreading.stack_size(64 << 20)\n"
                           "f(0)", CRASHED, State.FAILED, OUT, TIME, wall_ms=6000),
    "a null pointer": ends("ctypes.string_at(0)", CRASHED),
    "an abort": ends("os.abort()", CRASHED),
    "every signal ignored": ends(
        "for n in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(n, signal.SIG_IGN)\n"
        "while True: pass", TIME, wall_ms=500),
    "handlers that never return": ends(
        "def again(*_):\n    while True: pass\nsignal.signal(signal.SIGALRM, again)\n"
        "signal.setitimer(signal.ITIMER_REAL, .01, .01)\nsignal.pause()", TIME, wall_ms=500),
    "a hook at the end that hangs": ends("import atexit, time\natexit.register(time.sleep, 99)", TIME,
                                         wall_ms=700),
    "a thread that outlives the program": ends("threading.Thread(target=signal.sigwait, args=([],)).start()",
                                               TIME, State.SUCCEEDED, wall_ms=700),
    "an endless regular expression": ends("import re\nre.match('(a+)+$', 'a' * 40 + 'b')", TIME,
                                          wall_ms=500),
    "a flood": ends("while True: os.write(1, b'x' * 9999)", State.OUTPUT_LIMIT),
    "a pickle that runs": ends("import pickle\nclass A:\n    def __reduce__(self): return os.abort, ()\n"
                               "pickle.loads(pickle.dumps(A()))", CRASHED),
    "its own code overwritten": ends(
        "with open('/proc/self/maps') as f: at = next(l for l in f if 'r-xp' in l and 'python' in l)\n"
        "start = int(at.split('-')[0], 16)\n"
        "with open('/proc/self/mem', 'r+b', 0) as f:\n    f.seek(start); f.write(b'\\xcc' * 4096)\n",
        State.SUCCEEDED, State.FAILED, CRASHED),
    "a daemon of multiprocessing": ends(
        "import multiprocessing, time\nmultiprocessing.Process(target=time.sleep, args=(99,)).start()\n"
        "os._exit(0)", State.SUCCEEDED),
    "a daemon by two forks": ends(
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: signal.pause()\n    os._exit(0)\n"
        "os._exit(0)", State.SUCCEEDED),
}  # fmt: skip


@pytest.mark.parametrize("name", END_STATES)
def test_an_attack_gets_the_correct_final_state(name: str, python: Python, arena: Arena) -> None:
    end_states = END_STATES[name]
    limits = replace(python.definition.default, **end_states.limits)
    outcome = python.execute("run", {"main.py": PRELUDE + end_states.code}, limits=limits)
    assert outcome.state in end_states.states, outcome


FAILING = "\ndef test_fails():\n    assert False\n"
CASE = r"""b'{"type":"case","name":"x","file":"a","state":"passed"}\n'"""
RESULT = r"""b'{"type":"result","errors":[],"exit_code":0}\n'"""
REPORT = f"os.write(200, {CASE} + {RESULT})"
# The runner is not in sys.modules, but the garbage collector still lists its modules.
PROTOCOL = (
    "import gc\np = next(found for found in gc.get_objects() if isinstance(found, dict)"
    " and found.get('__name__') == '_stencil.protocol')\n"
)
FORGERIES = {
    "exit 0 in a test": "def test_a():\n    os._exit(0)",
    "exit 0 while loading": "os._exit(0)",
    "SystemExit while loading": "sys.exit(0)",
    "exit 0 at the end": "import atexit\natexit.register(os._exit, 0)" + FAILING,
    "pytest.exit with 0": "import pytest\ndef test_a():\n    pytest.exit('done', returncode=0)" + FAILING,
    "a report of its own, then the tests": REPORT + FAILING,
    "a result alone": f"os.write(200, {RESULT})\nos._exit(0)",
    "two results": f"{REPORT}\n{REPORT}\nos._exit(0)",
    "success said, failure exited": f"{REPORT}\nos._exit(1)",
    "a child's report": f"def test_a():\n    if os.fork() == 0:\n        {REPORT}\n        os._exit(0)\n    assert False",
    "a child goes on": "def test_a():\n    assert os.fork() == 0",
    "the report is closed": "os.close(200)" + FAILING,
    "the report is nobody's": "os.dup2(os.open('/dev/null', 1), 200)" + FAILING,
    "the report is a file": "os.dup2(os.open('/tmp/x', os.O_CREAT | os.O_WRONLY), 200)\ndef test_a(): pass",
    "half a line": "def test_a():\n    os.write(200, b'{\"type\":')" + FAILING,
    "a pickle": "import pickle\nclass A:\n    def __reduce__(self): return os.system, ('true',)\n"
                "def test_a():\n    os.write(200, pickle.dumps(A()) + b'\\n')",
    "a flood": "def test_a():\n    os.write(200, b'x' * (1 << 20))\n    os.write(200, b'x' * (1 << 20))",
    "nothing is sent": PROTOCOL + "p['send'] = lambda message: None" + FAILING,
    "only what is good is sent": PROTOCOL + "real = p['send']\n"
        "p['send'] = lambda m: m.get('state') == 'failed' or real(m)" + FAILING,
    "the encoder lies": PROTOCOL +
        "p['encode'] = lambda m: '{\"type\":\"result\",\"errors\":[],\"exit_code\":0}'" + FAILING,
    "modules are replaced": "import gc\nfor found in gc.get_objects():\n"
        "    if isinstance(found, dict) and str(found.get('__name__')).startswith('_stencil.'): found.clear()"
        + FAILING,
    "an import hook": "class Hook:\n    def find_spec(self, name, *_):\n"
        "        if name.startswith(('_stencil', 'pytest')): os._exit(0)\nsys.meta_path.insert(0, Hook())"
        + FAILING + "def test_b():\n    import _stencil.new",
    "a trace function exits": "sys.settrace(lambda frame, *_: os._exit(0) if 'reporter' in "
        "frame.f_code.co_filename else None)" + FAILING,
    "an audit hook exits": "sys.addaudithook(lambda name, _: name == 'os.putenv' and os._exit(0))"
        + FAILING + "def test_b():\n    os.environ['x'] = 'y'",
    "faulthandler writes to the report": "import faulthandler\ndef test_a():\n"
        "    faulthandler.dump_traceback(os.fdopen(os.dup(200), 'w'))",
    "dies by a signal": "def test_a():\n    os.kill(os.getpid(), signal.SIGKILL)",
    "a thread exits": "import time\ndef test_a():\n    threading.Timer(.05, os._exit, [0]).start()\n"
        "    time.sleep(5)",
    "exceptions that mean nothing": "class Quiet(BaseException): pass\ndef test_a():\n    raise Quiet",
    "no tests at all": "",
}  # fmt: skip
BELIEVED = (State.FAILED, State.CRASHED)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_result_is_not_believed(name: str, python: Python, arena: Arena) -> None:
    code = f"import os, signal, sys, threading\n{FORGERIES[name]}\n"
    outcome = python.execute("test", {"test_a.py": code})
    assert outcome.state in BELIEVED, outcome


NAMED_LIKE = {
    "pytest": "raise SystemExit(0)",
    "_stencil": "import os; os._exit(0)",
    "json": "import os; os._exit(0)",
    "sitecustomize": "import os; os._exit(0)",
    "usercustomize": "import os; os._exit(0)",
    "main": "import os; os._exit(0)",
}


@pytest.mark.parametrize("name", NAMED_LIKE)
def test_a_module_named_like_ours_does_not_replace_it(
    name: str, python: Python, arena: Arena
) -> None:
    files = {f"{name}.py": NAMED_LIKE[name], "test_a.py": FAILING}
    outcome: Outcome = python.execute("test", files)
    assert outcome.state in BELIEVED, outcome


def test_files_in_the_home_folder_are_gone_in_the_next_run(python: Python, arena: Arena) -> None:
    """Check that site-packages and start-up files of the user in /tmp are deleted with the run."""
    leave = """
import site
os.makedirs(site.getusersitepackages())
open(site.getusersitepackages() + "/usercustomize.py", "w").write("print('left')")
open("/tmp/.pythonrc", "w").write("print('left')")
"""
    first = python.execute("run", {"main.py": PRELUDE + leave})
    assert first.state is State.SUCCEEDED, first
    second = python.execute("run", {"main.py": PRELUDE + "say(os.listdir('/tmp'))"})
    assert "left" not in second.stdout.data.decode()
    assert ".local" not in second.stdout.data.decode()
