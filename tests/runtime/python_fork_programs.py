"""Programs for forked sandboxes: what must differ between two of them, and what must be as bare."""

# A module of the template that keeps every kind of generator. The fork server has loaded and used it.
KEEPER = """
import multiprocessing, random, secrets, ssl, tempfile, uuid
import numpy

class Own(random.Random):
    pass

RANDOM, OWN, SYSTEM = random.Random(), Own(), random.SystemRandom()
RANDOM.gauss(0, 1)  # it keeps the second of two numbers
LEGACY, GENERATOR = numpy.random.RandomState(), numpy.random.default_rng()
LEGACY.standard_normal()  # the same
numpy.random.standard_normal()
KINDS = [kind() for kind in (
    numpy.random.MT19937, numpy.random.PCG64, numpy.random.PCG64DXSM, numpy.random.Philox, numpy.random.SFC64
)]
HIDDEN = {"deep": [(random.Random(),)]}
uuid.uuid1(), uuid.uuid4(), uuid.getnode()
ssl.RAND_bytes(8), secrets.token_bytes(8)
next(tempfile._get_candidate_names())
KEY = bytes(multiprocessing.current_process().authkey)
"""

# Each must differ between the sandboxes of one server.
FRESH = {
    "os.urandom": "import os; value = os.urandom(16)",
    "os.getrandom": "import os; value = os.getrandom(16)",
    "random": "import random; value = random.random()",
    "random.gauss": "import random; value = random.gauss(0, 1)",
    "random.sample": "import random; value = random.sample(range(10**9), 3)",
    "a new Random": "import random; value = random.Random().random()",
    "SystemRandom": "import keeper; value = keeper.SYSTEM.random()",
    "a kept Random": "import keeper; value = keeper.RANDOM.random()",
    "a kept Random's second number": "import keeper; value = keeper.RANDOM.gauss(0, 1)",
    "a kept subclass": "import keeper; value = keeper.OWN.random()",
    "a Random deep in a module": "import keeper; value = keeper.HIDDEN['deep'][0][0].random()",
    "secrets": "import secrets; value = secrets.token_hex()",
    "uuid1": "import uuid; value = uuid.uuid1().hex",
    "uuid1's node": "import uuid; value = uuid.uuid1().node",
    "uuid.getnode": "import uuid; value = uuid.getnode()",
    "uuid4": "import uuid; value = uuid.uuid4().hex",
    "tempfile": "import tempfile; value = tempfile.mkdtemp()",
    "tempfile.mktemp": "import tempfile; value = tempfile.mktemp()",
    "ssl": "import ssl; value = ssl.RAND_bytes(16)",
    "the client's random of TLS": "import tls; value = tls.hello()",
    "the server's random of TLS": "import tls; value = tls.reply()",
    "multiprocessing's key": "import multiprocessing; value = bytes(multiprocessing.current_process().authkey)",
    "scrypt with a salt": "import hashlib, os; value = hashlib.pbkdf2_hmac('sha256', b'a', os.urandom(8), 1)",
    "a boundary of mail": "import email.generator as g; value = g._make_boundary()",
    "a message id": "import email.utils; value = email.utils.make_msgid().split('.', 2)[2]",
    "numpy": "import numpy; value = numpy.random.random()",
    "numpy's second number": "import numpy; value = numpy.random.standard_normal()",
    "numpy.permutation": "import numpy; value = numpy.random.permutation(1000).tolist()",
    "default_rng": "import numpy; value = numpy.random.default_rng().random()",
    "a kept generator": "import keeper; value = keeper.GENERATOR.random()",
    "a kept RandomState": "import keeper; value = keeper.LEGACY.random()",
    "a kept RandomState's second number": "import keeper; value = keeper.LEGACY.standard_normal()",
    "a generator that a kept one spawns": "import keeper; value = keeper.GENERATOR.spawn(1)[0].random()",
    **{
        f"a kept bit generator, {number}": f"import keeper; value = keeper.KINDS[{number}].random_raw()"
        for number in range(5)
    },
    "pandas": "import pandas; value = pandas.Series(range(10**6)).sample(3).tolist()",
}
TLS = """
import ssl

def end(side):
    context = ssl.SSLContext(side)
    if side == ssl.PROTOCOL_TLS_CLIENT:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_psk_client_callback(lambda hint: ("me", b"key"))
    else:
        context.set_psk_server_callback(lambda identity: b"key")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("PSK")
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context.wrap_bio(received, sent, server_side=side == ssl.PROTOCOL_TLS_SERVER), received, sent

def says(one, sent):
    try:
        one.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return sent.read()

def hello():
    client, _, sent = end(ssl.PROTOCOL_TLS_CLIENT)
    return says(client, sent)[11:43]

def reply():
    client, _, sent = end(ssl.PROTOCOL_TLS_CLIENT)
    server, received, replied = end(ssl.PROTOCOL_TLS_SERVER)
    received.write(says(client, sent))
    return says(server, replied)[11:43]
"""
DRAW = """
import json
values = {}
for name, source in json.load(open("/workspace/src/fresh.json")).items():
    found = {}
    exec(source, found)
    values[name] = repr(found["value"])
print(json.dumps(values))
"""

# Each prints the same as bare Python does, in mode `run` and within a test.
SAME = {
    "threads": """
import os, threading
lock, local, said = threading.Lock(), threading.local(), []
def work(number):
    local.number = number
    with lock:
        said.append(local.number)
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in threads], [t.join() for t in threads]
print(sorted(said), threading.active_count(), threading.main_thread() is threading.current_thread(), threads[0].name)
print(threading.main_thread().ident == threading.get_ident(), threading.get_native_id() == os.getpid())
event = threading.Event()
timer = threading.Timer(0.01, event.set)
timer.start()
print(event.wait(10), threading.Condition().acquire(), threading.Barrier(1).wait(), hasattr(local, "number"))
""",
    "futures": """
from concurrent.futures import ThreadPoolExecutor, as_completed
with ThreadPoolExecutor(4) as pool:
    print(sorted(f.result() for f in as_completed([pool.submit(pow, n, 2) for n in range(10)])))
    print(list(pool.map(abs, range(-3, 0))))
""",
    "multiprocessing by fork": """
import multiprocessing, os
context = multiprocessing.get_context("fork")
queue = context.Queue()
def work(number):
    queue.put((number, os.getppid() == parent))
parent = os.getpid()
made = [context.Process(target=work, args=(n,)) for n in range(3)]
[p.start() for p in made]
print(sorted(queue.get() for _ in made))
[p.join() for p in made]
print([p.exitcode for p in made], multiprocessing.active_children(), made[0].name)
with context.Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
value, lock = context.Value("i", 3), context.Lock()
with lock:
    value.value += 1
print(value.value)
""",
    "shared memory": """
from multiprocessing import shared_memory
made = shared_memory.SharedMemory(create=True, size=64)
made.buf[:2] = b"ab"
again = shared_memory.SharedMemory(made.name)
print(bytes(again.buf[:2]), made.size >= 64)
again.close(), made.close(), made.unlink()
""",
    "fork": """
import os, sys
for status in (0, 3):
    pid = os.fork()
    if not pid:
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid = os.fork()
if not pid:
    os.abort()
print(os.waitpid(pid, 0)[1] & 127)
try:
    os.wait()
except ChildProcessError:
    print("no child")
""",
    "subprocess": """
import subprocess, sys
print(subprocess.run(["sh", "-c", "echo a; exit 3"], capture_output=True))
print(subprocess.run([sys.executable, "-c", "import os; print(len(os.listdir('/proc/self/fd')))"], capture_output=True, text=True).stdout)
print(subprocess.run(["sh", "-c", "kill -9 $$"]).returncode)
print(subprocess.run("cat", input=b"x", capture_output=True, start_new_session=True).stdout)
made = subprocess.Popen(["sleep", "300"])
made.terminate()
print(made.wait(), made.poll())
""",
    "asyncio": """
import asyncio, signal, os
async def serve(reader, writer):
    writer.write((await reader.readline()).upper())
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\\n")
    print(await reader.readline())
    writer.close(); server.close(); await server.wait_closed()
    made = await asyncio.create_subprocess_exec("sh", "-c", "echo out; exit 4", stdout=asyncio.subprocess.PIPE)
    print(await made.communicate(), made.returncode)
    got = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, got.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    print(await asyncio.wait_for(got.wait(), 10), await asyncio.to_thread(abs, -1))
    print(await asyncio.gather(*(asyncio.sleep(0.01, n) for n in range(3))))
asyncio.run(main())
""",
    "signals": """
import os, signal, time
print(sorted(int(s) for s in signal.valid_signals() if signal.getsignal(s) not in (signal.SIG_DFL, None)))
print(signal.getsignal(signal.SIGCHLD), signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.sigpending())
said = []
signal.signal(signal.SIGALRM, lambda number, frame: said.append(number))
signal.alarm(1)
print(signal.getitimer(signal.ITIMER_REAL)[1], signal.alarm(0))
signal.setitimer(signal.ITIMER_REAL, 0.01)
time.sleep(0.2)
signal.signal(signal.SIGVTALRM, lambda number, frame: said.append(number))
signal.setitimer(signal.ITIMER_VIRTUAL, 0.01)
while len(said) < 2: pass
print(said)
signal.signal(signal.SIGCHLD, lambda number, frame: said.append(number))
if not os.fork():
    os._exit(0)
os.wait(), time.sleep(0.01)
print(said)
try:
    os.kill(os.getpid(), signal.SIGINT); time.sleep(5)
except KeyboardInterrupt:
    print("interrupted")
""",
    "limits of the interpreter": """
import gc, sys, resource, threading
print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.flags, gc.isenabled(), gc.get_threshold(), gc.callbacks)
print(threading.stack_size(), sys.getdlopenflags(), sys.get_int_max_str_digits(), gc.garbage)
def deep(n):
    return n and 1 + deep(n - 1)
print(deep(900))
try:
    deep(10**6)
except RecursionError:
    print("too deep")
""",
    "codecs and locale": """
import locale, sys, os, time
print(locale.setlocale(locale.LC_ALL), locale.getencoding(), sys.getfilesystemencoding(), time.tzname)
print(sys.stdin.encoding, sys.stdout.encoding, sys.__stderr__.errors, os.fsencode("ä"), "é".encode())
""",
    "modules loaded early": """
import json, urllib.parse, email.message, xml.etree.ElementTree, http.client, logging.handlers, importlib.metadata
import numpy.polynomial, pandas.tseries.holiday, requests.auth
print(numpy.polynomial.Polynomial([1, 2])(3), pandas.tseries.holiday.USFederalHolidayCalendar.__name__)
print(importlib.metadata.version("numpy") == numpy.__version__, requests.auth.HTTPBasicAuth("a", "b").username)
print(numpy.ones((300, 300)).dot(numpy.ones((300, 300))).sum(), pandas.DataFrame({"a": [1, 2]}).sum().to_dict())
""",
    "a server on loopback": """
import http.server, threading, requests
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"hello")
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(requests.get(f"http://127.0.0.1:{server.server_port}/").text)
server.shutdown(), server.server_close()
""",
    "garbage": """
import gc, weakref
class Node: pass
a = Node(); a.self = a
reference = weakref.ref(a)
del a
print(gc.collect() > 0, reference())
""",
    "a session of its own": """
import os
if not os.fork():
    os.setsid()
    os._exit(os.getsid(0) == os.getpid() != 0)
print(os.waitstatus_to_exitcode(os.wait()[1]))
""",
}

# Each ends in a way of its own; only for mode `run`.
ENDS = {
    "multiprocessing by spawn": """
import multiprocessing, sys
def work(number):
    return number * number, multiprocessing.get_start_method()
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    with multiprocessing.Pool(2) as pool:
        print(pool.map(work, range(3)))
""",
    "multiprocessing by forkserver": """
import multiprocessing
def work(number):
    return -number
if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")
    with multiprocessing.Pool(2) as pool:
        print(pool.map(work, range(3)))
""",
    "a manager": """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        shared = manager.dict(a=1)
        made = multiprocessing.Process(target=shared.update, args=({"b": 2},))
        made.start(), made.join()
        print(dict(shared), made.exitcode)
""",
    "futures of processes": """
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        print(list(pool.map(abs, [-1, -2])))
""",
    "atexit": """
import atexit, sys, threading, time
atexit.register(print, "last")
atexit.register(print, "first")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
print("main")
""",
    "output of both streams": """
import os, subprocess, sys
for number in range(3):
    print("out", number); print("err", number, file=sys.stderr)
sys.stdout.flush()
subprocess.run(["sh", "-c", "echo child; echo child >&2"])
os.write(1, b"raw\\n")
print("end", end="")
""",
    "output larger than a pipe": "print('x' * 300_000)",
    "standard input": """
import sys
print(sys.stdin.readline(), sys.stdin.read(), sys.stdin.read(), sys.stdin.isatty(), sys.stdin.fileno())
""",
    "a child reads the rest": "import subprocess; subprocess.run(['cat'])",
    "exit 7": "raise SystemExit(7)",
    "exit with a text": "import sys; sys.exit('no')",
    "an exception": "1 / 0",
    "an exception in a thread": "import threading; threading.Thread(target=lambda: 1 / 0, name='t').start()",
    "abort": "import os; os.abort()",
    "segmentation fault": "import ctypes; ctypes.string_at(1)",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "terminated": "import os, time; os.kill(os.getpid(), 15); time.sleep(5)",
    "a broken pipe": "import os, signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL); r, w = os.pipe(); os.close(r); os.write(w, b'x')",
    "an alarm": "import signal, time; signal.alarm(1); time.sleep(5)",
    "interrupted": "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)",
    "a full descriptor table": """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True: os.dup(1)
except OSError as error:
    os.write(1, str(error.errno).encode())
    os._exit(5)
""",
    "less memory by a limit": """
import resource
resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))
try:
    bytearray(2**29)
except MemoryError:
    print("no memory")
""",
    "MemoryError": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))\nx = bytearray(2**29)",
    "faulthandler": "import faulthandler, sys; faulthandler.enable(); print(faulthandler.is_enabled()); faulthandler.disable()",
    "warnings": """
import warnings
print(warnings.filters)
warnings.warn("mind", DeprecationWarning); warnings.warn("mind", UserWarning)
""",
}

# Printed by a forked sandbox and by one that has loaded its own runner: the same in both.
WALLS = """
import json, os, resource, sys, time
def lines(name, *keys):
    found = (line.partition(":")[::2] for line in open(f"/proc/self/{name}"))
    return {key: value.split() for key, value in found if key in keys}
def folder(path):
    kept = lambda name: (oct(os.lstat(f"{path}/{name}").st_mode), os.lstat(f"{path}/{name}").st_rdev)
    return oct(os.stat(path).st_mode), {name: kept(name) for name in sorted(os.listdir(path))}
open("/tmp/mine", "w").close()
print(json.dumps({
    "ids": [os.getpid(), os.getppid(), os.getsid(0), os.getpgid(0), os.getresuid(), os.getresgid(), os.getgroups()],
    "status": lines("status", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd",
        "CapAmb", "Umask", "Threads", "SigQ", "SigBlk", "SigIgn", "SigCgt", "Cpus_allowed", "TracerPid", "CoreDumping"),
    "limits": open("/proc/self/limits").read(),
    "groups": open("/proc/self/cgroup").read().replace("..", ""),
    "mounts": sorted({line.split()[4] for line in open("/proc/self/mountinfo")} - {"/proc/irq", "/proc/bus"}),
    "folders": {path: folder(path) for path in ("/dev", "/tmp", "/workspace", "/workspace/src", "/dev/shm", "/etc")},
    "mine": [os.stat("/tmp/mine").st_uid, os.stat("/workspace/src").st_mode],
    "name": os.uname().nodename, "directory": os.getcwd(), "umask": oct(os.umask(0o22)), "nice": os.nice(0),
    "sizes": [os.statvfs(path).f_blocks for path in ("/tmp", "/workspace", "/dev/shm")],
    "environment": dict(os.environ), "flags": str(sys.flags), "argv": [sys.argv, sys.orig_argv, sys.path],
    "oom": open("/proc/self/oom_score_adj").read(), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "scheduler": [os.sched_getscheduler(0), len(os.sched_getaffinity(0))],
}))
"""
CLOCKS = """
import json, os, resource, time
used = resource.getrusage(resource.RUSAGE_SELF)
started = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
print(json.dumps([time.process_time(), time.thread_time(), used.ru_utime + used.ru_stime,
    resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.clock_gettime(time.CLOCK_BOOTTIME) - started,
    time.time(), time.monotonic()]))
"""
