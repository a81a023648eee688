"""Programs that leave work for the interpreter's finalization: no effect of it may be lost."""

from tests.runtime.python_cases import Case, program

GONE = "class Gone:\n    def __init__(self, name='x'):\n        self.name = name\n    def __del__(self):\n        print('gone', self.name, flush=True)\n"

# Decision 0024: the interpreter finalizes unless its finalization is proven to have no effect.
FINALIZATIONS: dict[str, Case] = {
    "stdout replaced": program(
        "import sys, io\nprint('before')\nsys.stdout = io.StringIO()\nprint('hidden')"
    ),
    "stdout replaced by a null device": program(
        "import sys, os\nprint('before')\nsys.stdout = open(os.devnull, 'w')\nprint('hidden')"
    ),
    "stderr replaced": program(
        "import sys, io\nprint('a', file=sys.stderr, end='')\nsys.stderr = io.StringIO()\nprint('b')"
    ),
    "stdout wrapped": program(
        "import sys\nclass Tee:\n    def __init__(self, to): self.to = to\n"
        "    def write(self, text): return self.to.write(text.upper())\n"
        "    def flush(self): self.to.flush()\nsys.stdout = Tee(sys.stdout)\nprint('abc')"
    ),
    "stdout is wrapped anew": program(
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), write_through=False)\n"
        "print('é' if sys.stdout.encoding else 0)"
    ),
    "stdout is None": program("import sys\nprint('a')\nsys.stdout = None\nprint('b')"),
    "stdout redirected for good": program(
        "import contextlib, io, sys\nc = contextlib.redirect_stdout(io.StringIO())\nprint('a')\n"
        "c.__enter__()\nprint('b')"
    ),
    "a text layer kept in a module": program(
        "import sys\nsys.keep = open(1, 'w', closefd=False)\nsys.keep.write('x')"
    ),
    "a text layer kept in a preloaded module": program(
        "import json\njson.keep = open(1, 'w', closefd=False)\njson.keep.write('x')"
    ),
    "a text layer kept in a class of a preloaded module": program(
        "import json, sys\njson.JSONDecoder.keep = open(1, 'w', closefd=False)\n"
        "json.JSONDecoder.keep.write('x')"
    ),
    "the same, and then it exits": program(
        "import json, sys\njson.JSONDecoder.keep = open(1, 'w', closefd=False)\n"
        "json.JSONDecoder.keep.write('x')\nsys.exit(3)"
    ),
    "a second text layer": program(
        "import sys, os\nout = os.fdopen(os.dup(1), 'w')\nout.write('second')\nprint('first')"
    ),
    "a buffered writer": program("import io\nraw = open(1, 'wb', closefd=False)\nraw.write(b'raw')"),
    "a buffer below a raw file": program(
        "import io\nkept = [io.BufferedWriter(io.FileIO(2, 'w', closefd=False))]\nkept[0].write(b'e')"
    ),
    "a file that is not closed": program(
        "f = open('src/left', 'w')\nf.write('text')\nimport atexit\n"
        "atexit.register(lambda: print(open('src/left').read() == ''))"
    ),
    "a file that is written when the interpreter ends": program(
        "import os, sys\nf = open('src/left', 'w')\nf.write('text')\n"
        "class See:\n    def __del__(self, open=open, print=print):\n        f = open\n"
        "        print('seen')\nsys.see = See()"
    ),
    "an archive that is not closed": program(
        "import zipfile, io\nclass Out(io.BytesIO):\n    def close(self):\n"
        "        print('closed', flush=True)\n        super().close()\n"
        "out = Out()\nz = zipfile.ZipFile(out, 'w')\nz.writestr('a', 'b')"
    ),
    "compressed output": program(
        "import gzip, os, sys\nclass W:\n    def write(self, d):\n        os.write(1, b'w')\n"
        "        return len(d)\n    def flush(self): pass\n"
        "g = gzip.GzipFile(fileobj=W(), mode='w')\ng.write(b'a')"
    ),
    "finalizer in main": program(GONE + "a = Gone('a')\nb = Gone('b')"),
    "finalizer in a cycle": program(GONE + "a = Gone('a')\na.me = a"),
    "finalizer in another module": program(
        "import other", other=GONE + "kept = Gone()\nlist_of = [Gone('in a list')]"
    ),
    "finalizer kept in sys": program("import sys\n" + GONE + "sys.kept = Gone('in sys')"),
    "finalizer kept in builtins": program("import builtins\n" + GONE + "builtins.kept = Gone('b')"),
    "finalizer in a default": program(GONE + "def f(x=Gone('default')): pass"),
    "finalizer in a class": program(GONE + "class K:\n    kept = Gone('class')"),
    "finalizer in a closure": program(
        GONE + "def outer():\n    g = Gone('closure')\n    def inner(): return g\n    return inner\n"
        "f = outer()"
    ),
    "finalizer without a dictionary": program(
        "class Gone:\n    __slots__ = ()\n    def __del__(self): print('gone')\na = Gone()"
    ),
    "finalizer of a subclass of a number": program(
        "class N(int):\n    __slots__ = ()\n    def __del__(self): print('gone')\na = N(7)"
    ),
    "finalizer of a tuple": program(
        "class T(tuple):\n    __slots__ = ()\n    def __del__(self): print('gone')\na = T()"
    ),
    "finalizer put on later": program(
        "class A: pass\na = A()\nA.__del__ = lambda self: print('gone')"
    ),
    "finalizer and exit": program("import sys\n" + GONE + "a = Gone()\nsys.exit(5)"),
    "finalizer and error": program(GONE + "a = Gone()\n1/0"),
    "finalizer in the frame of an error": program(
        GONE + "def f():\n    a = Gone('frame')\n    raise ValueError('x')\nf()"
    ),
    "finalizer that raises": program("class A:\n    def __del__(self): 1/0\na = A()"),
    "finalizer in a thread's local": program(
        "import threading\n" + GONE + "local = threading.local()\nlocal.x = Gone('local')"
    ),
    "hidden from the collector": program("import gc\n" + GONE + "a = Gone()\ngc.freeze()"),
    "the collector is off": program(
        "import gc\ngc.disable()\n" + GONE + "a = Gone()\na.me = a\ndel a"
    ),
    "somebody listens to the collector": program(
        "import gc\ngc.callbacks.append(lambda phase, info: print(phase, flush=True))\nprint('end')"
    ),
    "everything is unfrozen": program("import gc\ngc.unfreeze()\n" + GONE + "a = Gone()\ndel a"),
    "weak reference's callback": program(
        "import weakref\nclass A: pass\na = A()\n"
        "kept = [weakref.ref(a, lambda r: print('lost'))]\n"
    ),
    "weakref.finalize": program(
        "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'finalized')"
    ),
    "weakref.finalize not at exit": program(
        "import weakref\nclass A: pass\na = A()\nf = weakref.finalize(a, print, 'finalized')\n"
        "f.atexit = False"
    ),
    "suspended generator": program(
        "def g():\n    try:\n        yield 1\n    finally:\n        print('closed')\nx = g()\nnext(x)"
    ),
    "suspended in a with": program(
        "from contextlib import contextmanager\n@contextmanager\ndef c():\n    yield\n"
        "    print('never')\ndef g():\n    with c():\n        yield 1\nx = g()\nnext(x)"
    ),
    "generator that has not begun": program(
        "def g():\n    try:\n        yield 1\n    finally:\n        print('closed')\nx = g()"
    ),
    "coroutine never awaited": program("async def c(): pass\nx = c()"),
    "async generator": program(
        "async def g():\n    try:\n        yield 1\n    finally:\n        print('closed')\n"
        "x = g()\ntry:\n    x.__anext__().send(None)\nexcept StopIteration: pass"
    ),
    "asyncio loop left open": program(
        "import asyncio\nloop = asyncio.new_event_loop()\nloop.run_until_complete(asyncio.sleep(0))\n"
        "print('end')"
    ),
    "asyncio task destroyed": program(
        "import asyncio\nloop = asyncio.new_event_loop()\nasync def f(): await asyncio.sleep(9)\n"
        "t = loop.create_task(f(), name='n')\nprint('end')"
    ),
    "atexit registered at exit": program(
        "import atexit\ndef last(): print('last')\n"
        "def first():\n    print('first')\n    atexit.register(last)\natexit.register(first)"
    ),
    "atexit that prints to a replaced stdout": program(
        "import atexit, sys, io\nreal = sys.stdout\nsys.stdout = io.StringIO()\n"
        "atexit.register(lambda: real.write('late'))"
    ),
    "atexit that exits": program("import atexit, sys\natexit.register(sys.exit, 7)\nprint('x')"),
    "atexit run early": program(
        "import atexit, json\natexit.register(print, 'bye')\natexit._run_exitfuncs()\nimport queue\n"
        "print(json is __import__('json'), 'still here')"
    ),
    "atexit and exit": program("import atexit, sys\natexit.register(print, 'bye')\nsys.exit('why')"),
    "atexit cleared": program("import atexit\natexit.register(print, 'x')\natexit._clear()\nprint(1)"),
    "logging to a memory handler": program(
        "import logging, logging.handlers, sys\n"
        "h = logging.handlers.MemoryHandler(99, target=logging.StreamHandler(sys.stdout))\n"
        "logging.getLogger().addHandler(h)\nlogging.getLogger().error('kept')"
    ),
    "logging to a file that is read": program(
        "import logging, atexit\nlogging.basicConfig(filename='src/log')\n"
        "logging.error('x')\nprint(open('src/log').read())"
    ),
    "temporary folder": program(
        "import tempfile, os, atexit\natexit.register(lambda: print(os.path.exists(d.name)))\n"
        "d = tempfile.TemporaryDirectory()"
    ),
    "temporary file": program(
        "import tempfile\nf = tempfile.NamedTemporaryFile('w')\nf.write('x')\nprint('end')"
    ),
    "thread pool left open": program(
        "from concurrent.futures import ThreadPoolExecutor\nimport time\n"
        "p = ThreadPoolExecutor(2)\nf = [p.submit(lambda n: (time.sleep(.02 * n), print(n)), n)"
        " for n in (1, 2, 3)]\nprint('main')"
    ),
    "thread started by a thread": program(
        "import threading, time\ndef b():\n    time.sleep(.05)\n    print('b')\n"
        "def a():\n    time.sleep(.02)\n    threading.Thread(target=b).start()\n    print('a')\n"
        "threading.Thread(target=a).start()\nprint('main')"
    ),
    "thread and exit": program(
        "import threading, time, sys\n"
        "threading.Thread(target=lambda: (time.sleep(.05), print('late'))).start()\nsys.exit(2)"
    ),
    "thread and error": program(
        "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(.05), print('late'))).start()\n1/0"
    ),
    "daemon that has printed": program(
        "import threading\ne = threading.Event()\ndef f():\n    print('daemon')\n    e.set()\n"
        "    threading.Event().wait()\nthreading.Thread(target=f, daemon=True).start()\ne.wait()"
    ),
    "timer": program("import threading\nthreading.Timer(.05, print, ['tick']).start()\nprint('a')"),
    "subinterpreter": program(
        "import _interpreters as i\nn = i.create()\ni.exec(n, \"print('from within', flush=True)\")\n"
        "i.destroy(n)\nprint('end')"
    ),
    "subinterpreter with a finalizer": program(
        "import _interpreters as i\nn = i.create()\n"
        "i.exec(n, 'class A:\\n    def __del__(self): print(1, flush=True)\\na = A()')\n"
        "i.destroy(n)\nprint('end')"
    ),
    "subinterpreter imports a neighbour": program(
        "import _interpreters as i\nn = i.create()\n"
        "print(i.exec(n, 'import sys, other; print(other.x, sys.path[0], flush=True)'))\n"
        "i.destroy(n)",
        other="x = 'mine'",
    ),
    "unraisable hook": program(
        "import sys\nsys.unraisablehook = lambda u: print('hook', u.exc_value)\n"
        "class A:\n    def __del__(self): 1/0\na = A()"
    ),
    "profiler left on": program(
        "import sys\ndef p(frame, event, arg, me=__file__):\n"
        "    if event in ('call', 'return') and frame.f_code.co_filename == me:\n"
        "        sys.__stdout__.write(event + ' ' + frame.f_code.co_name + chr(10))\n"
        "def f(): pass\nsys.setprofile(p)\nf()"
    ),
    "tracer left on": program(
        "import sys\ndef t(frame, event, arg, me=__file__):\n"
        "    if frame.f_code.co_filename == me:\n"
        "        sys.__stdout__.write(event + ' ' + frame.f_code.co_name + chr(10))\n"
        "def f(): pass\nsys.settrace(t)\nf()"
    ),
    "C callback": program(
        "import ctypes\nf = ctypes.CFUNCTYPE(None)(lambda: print('called'))\nf()\nprint('end')"
    ),
    "C library's buffer and exit": program(
        "import ctypes, sys\nctypes.CDLL(None).printf(b'from C')\nsys.exit(1)"
    ),
    "warning about an open file": program(
        "import warnings\nwarnings.simplefilter('always')\nf = open('/etc/passwd')"
    ),
    "warning about an open folder": program(
        "import warnings, os\nwarnings.simplefilter('always')\ns = os.scandir('/')\nnext(s)"
    ),
    "stdout's descriptor closed": program("import os\nprint('x')\nos.close(1)"),
    "stdout closed with something in it": program("import sys\nsys.stdout.write('x')\nsys.stdout.close()"),
    "stderr closed": program("import sys\nsys.stderr.close()\nprint('x')"),
    "a large heap": program("x = [[] for _ in range(600_000)]\nprint(len(x))"),
    "exit with a float": program("import sys\nsys.exit(1.5)"),
    "exit with a negative": program("import sys\nsys.exit(-1)"),
    "exit with a huge number": program("import sys\nsys.exit(1 << 40)"),
    "exit with True": program("import sys\nsys.exit(True)"),
    "exit with a tuple": program("import sys\nsys.exit((1, 2))"),
    "exit in a thread": program(
        "import threading, sys\nt = threading.Thread(target=sys.exit, args=(3,))\nt.start()\nt.join()\n"
        "print('on')"
    ),
    "a kept exit": program(
        "import sys\ntry:\n    sys.exit(4)\nexcept SystemExit as e:\n    kept = e\nprint('on')"
    ),
    "exit while an error is shown": program(
        "import sys\nsys.excepthook = lambda *a: sys.exit(9)\n1/0"
    ),
    "interrupted by a signal": program("import os, signal\nos.kill(os.getpid(), signal.SIGINT)"),
    "multiprocessing queue": program(
        "from multiprocessing import Process, Queue\ndef f(q): q.put(5)\nif __name__ == '__main__':\n"
        "    q = Queue()\n    p = Process(target=f, args=(q,))\n    p.start()\n    print(q.get())"
    ),
    "multiprocessing manager": program(
        "from multiprocessing import Manager\nif __name__ == '__main__':\n    m = Manager()\n"
        "    d = m.dict()\n    d['a'] = 1\n    print(dict(d))"
    ),
    "multiprocessing semaphore": program(
        "import multiprocessing as m\nif __name__ == '__main__':\n    s = m.get_context('spawn').Semaphore()\n"
        "    print(s.acquire())"
    ),
    "shared memory left": program(
        "from multiprocessing import shared_memory\ns = shared_memory.SharedMemory(create=True, size=9)\n"
        "s.buf[0] = 1\nprint(s.buf[0])\ns.close()\ns.unlink()"
    ),
    "child that is not joined": program(
        "import multiprocessing as m, time\ndef f():\n    time.sleep(.1)\n    print('child')\n"
        "if __name__ == '__main__':\n    m.Process(target=f).start()\n    print('main', flush=True)"
    ),
    "join of the threads replaced": program(
        "import threading\nreal = threading._shutdown\ndef shutdown():\n    print('joined')\n    real()\n    1/0\n"
        "threading._shutdown = shutdown"
    ),
    "stdout detached": program("import sys\nb = sys.stdout.detach()\nb.write(b'raw')"),
    "stdout detached, and it exits": program(
        "import sys\nb = sys.stdout.detach()\nb.write(b'raw')\nsys.exit(3)"
    ),
    "stderr detached": program("import sys\nb = sys.stderr.detach()\nb.write(b'raw')"),
    "stdout's raw layer detached": program(
        "import sys\nraw = sys.stdout.buffer.detach()\nraw.write(b'raw')"
    ),
    "both names of stdout replaced": program(
        "import sys, io\nprint('before')\nsys.stdout = sys.__stdout__ = io.StringIO()\nprint('hidden')"
    ),
    "both names of stdout replaced by a stream on its descriptor": program(
        "import sys\nprint('before')\nsys.stdout = sys.__stdout__ = open(1, 'w', closefd=False)\n"
        "print('after', flush=True)"
    ),
    "both names of stdout deleted": program(
        "import sys\nprint('before')\ndel sys.stdout, sys.__stdout__"
    ),
    "both names of stdout are None": program(
        "import sys\nprint('before')\nsys.stdout = sys.__stdout__ = None"
    ),
    "both names of stdout are the same new text layer": program(
        "import sys, io\nsys.stdout = sys.__stdout__ = io.TextIOWrapper(sys.stdout.detach(), 'latin-1', 'replace')\n"
        "print('a')"
    ),
    "text layer in a C object": program(
        "import ctypes, os\nkept = ctypes.py_object(os.fdopen(os.dup(1), 'w'))\nkept.value.write('x')"
    ),
    "text layer in a context variable": program(
        "import contextvars, os\nv = contextvars.ContextVar('v')\nv.set(os.fdopen(os.dup(1), 'w'))\n"
        "v.get().write('x')"
    ),
    "finalizer in an array of objects": program(
        "import numpy\n" + GONE + "a = numpy.array([Gone('array')], dtype=object)"
    ),
    "finalizer of a subclass of an array": program(
        "import numpy\nclass A(numpy.ndarray):\n    def __del__(self): print('gone', flush=True)\n"
        "a = numpy.zeros(3).view(A)"
    ),
    "finalizer of a class": program(
        "class M(type):\n    def __del__(c): print('class gone')\nclass A(metaclass=M): pass"
    ),
    "finalizer of the main module": program(
        "import sys, types\nclass M(types.ModuleType):\n    def __del__(s): print('gone')\n"
        "sys.modules['__main__'].__class__ = M"
    ),
    "finalizer of a module": program(
        "import other",
        other="import sys, types\nclass M(types.ModuleType):\n    def __del__(s): print('gone')\n"
        "sys.modules[__name__].__class__ = M",
    ),
    "generator suspended in an iterator": program(
        "def g():\n    try:\n        yield 1\n        yield 2\n    finally: print('closed')\n"
        "z = zip(g(), [1, 2])\nnext(z)"
    ),
    "finalizer of multiprocessing": program(
        "from multiprocessing import util\nutil.Finalize(None, print, args=('done',), exitpriority=1)\nprint('x')"
    ),
    "callback before threads are joined": program(
        "import threading\nthreading._register_atexit(print, 'joined')\nprint('x')"
    ),
    "pipe to a child that is not closed": program(
        "import os\np = os.popen('cat', 'w')\np.write('hello')"
    ),
    "exit with a type of its own": program("class E(SystemExit): pass\nraise E(5)"),
    "interrupted by a type of its own": program("class K(KeyboardInterrupt): pass\nraise K('x')"),
    "interrupted and an excepthook": program(
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0])\nraise KeyboardInterrupt"
    ),
    "interrupted in a group": program("raise BaseExceptionGroup('x', [KeyboardInterrupt()])"),
    "interrupted at exit": program(
        "import atexit\ndef f(): raise KeyboardInterrupt\natexit.register(f)\nprint('x')"
    ),
    "monitoring left on": program(
        "import sys\nm = sys.monitoring\nm.use_tool_id(3, 'x')\nout = open(1, 'w', closefd=False)\n"
        "def said(code, *other, me=__file__):\n    if code.co_filename == me or 'stencil' in code.co_filename:\n"
        "        out.write(code.co_name + chr(10))\n"
        "m.register_callback(3, m.events.PY_START, said)\nm.register_callback(3, m.events.PY_RETURN, said)\n"
        "m.set_events(3, m.events.PY_START | m.events.PY_RETURN)\ndef f(): pass\nf()"
    ),
    "audit hook left on": program(
        "import sys\nsys.addaudithook(lambda event, args: event.startswith(('sys.set', 'open', 'ctypes', 'import')) "
        "and print(event, flush=True))\nprint('x')"
    ),
    "audit hook that forbids all": program(
        "import sys\nprint('x')\ndef forbid(event, args, ends=('cpython.PyInterpreterState_Clear', 'sys.unraisablehook')):\n"
        "    if event not in ends: raise RuntimeError(event)\nsys.addaudithook(forbid)"
    ),
    "subprocess that is not waited for": program(
        "import subprocess, sys\np = subprocess.Popen(['sleep', '0'])\nprint('end')"
    ),
}  # fmt: skip
