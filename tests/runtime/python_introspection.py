"""Programs that inspect the stack, the modules, the sources, the names and the variables."""

from tests.runtime.python_cases import Case, program

CRASH = "import faulthandler, ctypes\nfaulthandler.enable()\n"

HIDDEN: dict[str, Case] = {
    "print_stack": program(
        "import traceback, inspect\ndef f(): traceback.print_stack()\nf()\nprint(len(inspect.stack()))"
    ),
    "extract_stack in a module": program(
        "import other", other="import traceback\nprint([f.name for f in traceback.extract_stack()][-1])"
    ),
    "the lowest frame": program("import sys\nf = sys._getframe()\nprint(f.f_back, f.f_lineno)"),
    "a frame too deep": program("import sys\nsys._getframe(1)"),
    "current frames": program(
        "import sys\nfor f in sys._current_frames().values():\n"
        "    while f:\n        print(f.f_code.co_filename, f.f_code.co_name)\n        f = f.f_back"
    ),
    "warning at the top": program(
        "import warnings\nwarnings.warn('x', DeprecationWarning, stacklevel=2)"
    ),
    "warning above the top": program("import warnings\nwarnings.warn('x', UserWarning, stacklevel=3)"),
    "warning of a neighbour": program(
        "import other\nother.f()",
        other="import warnings\ndef f(): warnings.warn('old', DeprecationWarning, stacklevel=2)",
    ),
    "warning of a neighbour's import": program(
        "import other", other="import warnings\nwarnings.warn('old', UserWarning, stacklevel=2)"
    ),
    "filters": program(
        "import sys, warnings\nprint(warnings.filters, sys.warnoptions, warnings.showwarning.__name__)"
    ),
    "excepthook that raises": program(
        "import sys\ndef h(*a): raise KeyError('in hook')\nsys.excepthook = h\n1/0"
    ),
    "excepthook that is missing": program("import sys\ndel sys.excepthook\n1/0"),
    "excepthook that shows the stack": program(
        "import sys, traceback\ndef h(k, e, t):\n    traceback.print_stack()\n"
        "    print(len(traceback.extract_tb(t)))\nsys.excepthook = h\ndef f(): 1/0\nf()"
    ),
    "stack at exit": program("import atexit, traceback\natexit.register(traceback.print_stack)"),
    "stack in a finalizer": program(
        "import sys\nclass A:\n    def __del__(self, get=sys._getframe):\n"
        "        f = get()\n        print(f.f_back)\na = A()"
    ),
    "stack in a thread hook": program(
        "import threading, traceback\nthreading.excepthook = lambda a: print(len(traceback.extract_tb("
        "a.exc_traceback)))\nt = threading.Thread(target=lambda: 1/0)\nt.start()\nt.join()"
    ),
    "crash": program(CRASH + "faulthandler.dump_traceback(all_threads=False)\nprint('on')"),
    "abort": program("import os\nprint('x', flush=True)\nos.abort()"),
    "last exception": program(
        "import sys, atexit\natexit.register(lambda: print(sys.last_exc, sys.last_traceback.tb_next))\n1/0"
    ),
    "depth of a recursion": program(
        "import sys\nn = 0\ndef f():\n    global n\n    n += 1\n    f()\ntry:\n    f()\n"
        "except RecursionError as e:\n    print(n, e)"
    ),
    "recursion to the end": program("def f(): f()\nf()"),
    "limit of recursions": program("import sys\nprint(sys.getrecursionlimit())"),
    "arguments": program("import sys\nprint(sys.argv, sys.orig_argv)"),
    "flags": program("import sys\nprint(sys.flags, sys.dont_write_bytecode, sys._xoptions)"),
    "paths": program(
        "import sys\nprint(sys.path, sys.executable, sys.prefix, sys.exec_prefix, sys.base_prefix)"
    ),
    "finders": program("import sys\nprint(len(sys.path_hooks), sys.meta_path[:3])"),
    "main": program(
        "import sys\nm = sys.modules['__main__']\nprint(sorted(vars(m)), __file__, __cached__, __spec__)\n"
        "print(__builtins__, __loader__.path, __package__, __doc__, __annotations__, m)"
    ),
    "main with a docstring": program("'''Doc.'''\nx: int = 1\nprint(__doc__, __annotations__)"),
    "source of a function": program(
        "import inspect\ndef f():\n    return 'é'  # note\nprint(inspect.getsource(f), inspect.getfile(f))\n"
        "print(inspect.getmodule(f), inspect.getsourcelines(f)[1])"
    ),
    "source of main": program(
        "import inspect, sys\nprint(inspect.getsource(sys.modules['__main__']))"
    ),
    "lines kept": program("import linecache\nprint(sorted(linecache.cache))"),
    "code of main": program(
        "import sys\nc = sys._getframe().f_code\nprint(c.co_name, c.co_filename, c.co_firstlineno, c.co_flags)"
    ),
    "threads": program(
        "import threading\nprint([t.name for t in threading.enumerate()], threading.active_count(), threading.main_thread().name)"
    ),
    "environment": program(
        "import os\nprint(sorted(k for k in os.environ if k not in ('HOME', 'PATH', 'PWD', 'TMPDIR', "
        "'OPENBLAS_NUM_THREADS')), os.environ.get('LANG'))"
    ),
    "the runner's names": program(
        "import sys\nprint([n for n in sys.modules if 'stencil' in n or n in ('start', 'runner')])"
    ),
    "the runner cannot be imported": program("import _stencil"),
    "runpy is the real one": program("import runpy\nprint(runpy.__file__, callable(runpy.run_path))"),
    "first free descriptor": program(
        "import os\nprint([os.open('/dev/null', 0) for _ in range(3)])"
    ),
    "descriptors of a child": program(
        "import subprocess, sys\ncode = 'import os; print(sorted(os.listdir(\"/proc/self/fd\")))'\n"
        "print(subprocess.run([sys.executable, '-c', code], close_fds=False, capture_output=True).stdout)"
    ),
    "signal handlers": program(
        "import signal\nprint({s.name: signal.getsignal(s) for s in signal.valid_signals()"
        " if isinstance(s, signal.Signals)})"
    ),
    "tracers": program("import sys, threading\nprint(sys.gettrace(), sys.getprofile(), threading.gettrace())"),
    "tools": program("import sys\nprint([sys.monitoring.get_tool(i) for i in range(6)])"),
    "locale": program(
        "import locale, sys\nprint(locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(),"
        " sys.getfilesystemencoding(), sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors)"
    ),
    "streams": program(
        "import sys\nprint(sys.stdin, sys.stdout, sys.stderr, sys.stdout.line_buffering,"
        " sys.stdout.write_through, sys.__stdout__ is sys.stdout)"
    ),
    "references to the streams": program(
        "import sys\nfor s in (sys.stdin, sys.stdout):\n"
        "    print(sys.getrefcount(s), sys.getrefcount(s.buffer), sys.getrefcount(s.buffer.raw))"
    ),
    "mask and limits": program(
        "import os, resource, signal\nprint(oct(os.umask(0)), os.nice(0), signal.pthread_sigmask(0, []))"
    ),
    "names of sys and builtins": program(
        "import builtins, sys\nprint(sorted(vars(sys)), sorted(vars(builtins)))"
    ),
    "names of threads, tasks and processes": program(
        "import asyncio, multiprocessing, threading\nprint(threading.Thread().name, multiprocessing.Process().name)\n"
        "async def name(): print(asyncio.current_task().get_name())\nasyncio.run(name())"
    ),
    "directory": program("import os\nprint(os.getcwd(), os.listdir())"),
    "spawn": program(
        "import multiprocessing as m\ndef f(x): return x * 2\nif __name__ == '__main__':\n"
        "    with m.get_context('spawn').Pool(1) as p:\n        print(p.map(f, [1, 2]))"
    ),
    "spawn without a guard": program(
        "import multiprocessing as m\ndef f(): pass\np = m.get_context('spawn').Process(target=f)\n"
        "p.start()\np.join()\nprint(p.exitcode)"
    ),
    "forkserver": program(
        "import multiprocessing as m\ndef f(x): return x * 2\nif __name__ == '__main__':\n"
        "    with m.get_context('forkserver').Pool(1) as p:\n        print(p.map(f, [1, 2]))"
    ),
    "process pool": program(
        "import multiprocessing as m\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "def f(x): return x + 1\nif __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(1, mp_context=m.get_context('spawn')) as p:\n"
        "        print(list(p.map(f, [1])))"
    ),
    "runs itself": program(
        "import subprocess, sys\nif len(sys.argv) > 3:\n    print('child', sys.argv[3])\nelse:\n"
        "    subprocess.run([sys.executable, *sys.argv, 'again'])"
    ),
    "runs itself by its first arguments": program(
        "import os, sys\nif os.environ.get('N'):\n    print('again', sys.argv[1:])\nelse:\n"
        "    os.environ['N'] = '1'\n    sys.stdout.flush()\n    os.execv(sys.executable, sys.orig_argv)"
    ),
    "pdb's quit": program("import pdb\npdb.set_trace()\nprint('after')"),
    "interactive console": program("import code\ncode.interact(banner='', exitmsg='')"),
    "timeit": program(
        "import timeit\ndef f(): pass\n"
        "print(timeit.timeit('f()', 'from __main__ import f', number=3) > 0)"
    ),
    "unittest's main": program(
        "import io, unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(1, 1)\n"
        "if __name__ == '__main__':\n    quiet = unittest.TextTestRunner(stream=io.StringIO())\n"
        "    print(unittest.main(argv=['x'], exit=False, testRunner=quiet).result)"
    ),
    "doctest": program(
        "'''\n>>> 1 + 1\n3\n'''\nimport doctest\nprint(doctest.testmod())"
    ),
}  # fmt: skip

SOURCES: dict[str, Case] = {
    "Latin-1 in a comment": program(b"# caf\xe9\nprint(1)\n"),
    "Latin-1 in a text": program(b'print("\xe9")\n'),
    "Latin-1 in the third line": program(b"x = 1\ny = 2\n# \xe9\n"),
    "Latin-1 in a module": program("import other", other=b"x = 1\n# \xff\n"),
    "NUL": program("x=1\ny=2\0\n"),
    "NUL at the start": program("\0print(1)"),
    "NUL in a module": program("import other", other="x = '\0'"),
    "BOM": program("\ufeffprint('bom')"),
    "BOM and another coding": program(b"\xef\xbb\xbf# coding: latin-1\nprint(1)"),
    "UTF-16": program("print(1)".encode("utf-16")),
    "UTF-16 without a BOM": program("print(1)".encode("utf-16-le")),
    "unknown coding": program("# coding: klingon\nprint(1)"),
    "coding of Windows": program("# -*- coding: cp1252 -*-\nprint('€')".encode("cp1252")),
    "coding in the second line": program("#!/usr/bin/python\n# vim: set fileencoding=latin-1 :\nprint('é')"),
    "coding in the third line": program(b"#\n#\n# coding: latin-1\nprint('\xe9')"),
    "coding that is no text's": program("# coding: rot13\ncevag(1)"),
    "UTF-7": program(b"# coding: utf-7\nprint('+AOk-')"),
    "wrong UTF-8": program(b"print('\xc3')\n"),
    "surrogate in UTF-8": program(b"print('\xed\xa0\x80')\n"),
    "carriage returns": program(b"print(1)\r\nprint('''a\r\nb''')\r\n"),
    "old Mac's lines": program(b"print(1)\rprint(2)\r"),
    "form feed": program("\x0cprint(1)\n\x0c\nif 1:\n\x0c    print(2)"),
    "no newline at the end": program("if 1:\n    print(1)"),
    "a backslash at the end": program("print(1)\n\\"),
    "tabs and spaces": program("if 1:\n\tprint(1)\n        print(2)\n"),
    "wrong indent": program("def f():\n    x\n  y\n"),
    "unclosed": program("print((1,\n"),
    "unclosed text": program("x = '''abc\n"),
    "strange character": program("x = 5 ’\n"),
    "bad f-text": program("print(f'{1')"),
    "return at the top": program("return 1"),
    "await at the top": program("await x"),
    "future that is none": program("from __future__ import nothing"),
    "future": program("from __future__ import annotations\ndef f(x: y): pass\nprint(f.__annotations__)"),
    "future barry": program("from __future__ import barry_as_FLUFL\nprint(1 <> 2)"),
    "warning of the compiler": program("print('\\d', 1 is 1)"),
    "deep nesting": program("x = " + "(" * 300 + ")" * 300),
    "a long line": program("x = [" + "1, " * 20000 + "]\nprint(len(x))"),
    "empty": program(b""),
    "only a comment": program(b"#"),
    "compiled": Case(
        files={
            "main.py": "import py_compile, runpy\nprint(py_compile.compile('src/a.py', 'src/a.pyc') and 1)\n"
            "print(runpy.run_path('src/a.pyc')['x'])",
            "a.py": "x = 7",
        }
    ),
    "a name with letters": Case(files={"naïve.py": "print(__file__)\n1/0"}, entry="naïve.py"),
    "a name with spaces": Case(files={"a b.py": "print(__file__)"}, entry="a b.py"),
    "no suffix": Case(files={"script": "print(__file__, __name__)"}, entry="script"),
    "a deep entry": Case(
        files={"a/b/c.py": "import near, sys\nprint(near.x, sys.path[0])", "a/b/near.py": "x = 1"},
        entry="a/b/c.py",
    ),
    "no program at all": Case(files={"data.bin": b"PK\x03\x04\x00\xff"}, entry="data.bin"),
}  # fmt: skip
