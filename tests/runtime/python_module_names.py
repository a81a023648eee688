"""Submissions whose modules have the names of other modules; and variables read at the start."""

import io
import zipfile

from tests.runtime.python_cases import Case, program


def archive(**modules: str) -> bytes:
    """Return a zip archive of modules. `main` becomes its main module."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, text in modules.items():
            path = "__main__" if name == "main" else name.replace("__", "/")
            file.writestr(f"{path}.py", text)
    return out.getvalue()


ADD = "import sys, os\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), {!r}))\n"

NAMES: dict[str, Case] = {
    "json beside a deep entry": Case(
        files={"app/main.py": "import json\nprint(json.v)", "app/json.py": "v = 1"}, entry="app/main.py"
    ),
    "queue beside a deep entry": Case(
        files={"app/main.py": "import queue\nprint(queue.v)", "app/queue.py": "v = 1"}, entry="app/main.py"
    ),
    "base64 at the top": program("import base64\nprint(base64.v)", base64="v = 1"),
    "ctypes at the top": program("import ctypes\nprint(ctypes.v)", ctypes="v = 1"),
    "struct at the top": program("import struct\nprint(struct.v)", struct="v = 1"),
    "traceback and an error": program("import traceback\nprint(traceback.v)\n1/0", traceback="v = 1"),
    "threading at the top": program("import threading\nprint(threading.v)", threading="v = 1"),
    "threading at the top, and an error": program("import threading\nprint(threading.v)\n1/0", threading="v = 1"),
    "itertools at the top": program("import itertools\nprint(itertools.v)", itertools="v = 1"),
    "six at the top": program("import six\nprint(six.v)", six="v = 1"),
    "random breaks pandas": program("import pandas", random="v = 1"),
    "a package named numpy": Case(
        files={"main.py": "import numpy\nprint(numpy.v)", "numpy/__init__.py": "v = 1"}
    ),
    "a namespace package named requests": Case(
        files={"main.py": "import requests.x\nprint(requests.x.v, requests.__path__)", "requests/x.py": "v = 1"}
    ),
    "a folder put on the path": Case(
        files={"main.py": ADD.format("lib") + "import queue\nprint(queue.v)", "lib/queue.py": "v = 1"}
    ),
    "a folder put on the path by its module": Case(
        files={
            "main.py": "import setup_path\nimport decimal\nprint(decimal.v)",
            "setup_path.py": ADD.format("vendor/deep"),
            "vendor/deep/decimal.py": "v = 1",
        }
    ),
    "a folder at the end of the path": Case(
        files={"main.py": ADD.format("lib").replace("insert(0, ", "append(") + "import queue\nprint(hasattr(queue, 'v'))",
               "lib/queue.py": "v = 1"}
    ),
    "a site folder with a .pth": Case(
        files={
            "main.py": "import site, sys, os\nsite.addsitedir('src/site')\nsys.path.insert(0, sys.path.pop())\n"
            "import fractions\nprint(fractions.v)",
            "site/more.pth": "mine\n",
            "site/mine/fractions.py": "v = 1",
        }
    ),
    "a working directory on the path": Case(
        files={"main.py": "import sys\nsys.path.insert(0, '')\nimport os\nos.chdir('src/sub')\nimport queue\nprint(queue.v)",
               "sub/queue.py": "v = 1"}
    ),
    "an archive on the path": Case(
        files={"main.py": ADD.format("lib.zip") + "import queue\nprint(queue.v)", "lib.zip": archive(queue="v = 1")}
    ),
    "an archive of another name, deep": Case(
        files={"main.py": ADD.format("data/lib.bin/in") + "import numpy\nprint(numpy.v)",
               "data/lib.bin": archive(in__numpy="v = 1")}
    ),
    "an archive as the entry": Case(
        files={"app.pyz": archive(main="import queue, sys\nprint(queue.v, sys.argv, __file__)", queue="v = 1")},
        entry="app.pyz",
    ),
    "a spec from a file": Case(
        files={
            "main.py": "import importlib.util as u, sys\ns = u.spec_from_file_location('queue', 'src/lib/queue.py')\n"
            "m = u.module_from_spec(s)\nsys.modules['queue'] = m\ns.loader.exec_module(m)\nimport queue\nprint(queue.v)",
            "lib/queue.py": "v = 1",
        }
    ),
    "import_module after a change of the path": Case(
        files={"main.py": "import importlib, sys\nexec(\"sys.path[:0] = ['src/x']\")\n"
               "print(importlib.import_module('copy').v)", "x/copy.py": "v = 1"}
    ),
    "a module within a package, same name": Case(
        files={"main.py": "import pack.queue, queue\nprint(pack.queue.v, hasattr(queue, 'Queue'))",
               "pack/__init__.py": "", "pack/queue.py": "v = 1"}
    ),
    "a relative import of such a name": Case(
        files={"main.py": "from pack import run\nprint(run.v)", "pack/__init__.py": "",
               "pack/run.py": "from .json import v", "pack/json.py": "v = 3"}
    ),
    "runpy of a folder": Case(
        files={"main.py": "import runpy\nrunpy.run_path('src/app')", "app/__main__.py": "import queue\nprint(queue.v)",
               "app/queue.py": "v = 1"}
    ),
    "a child Python": Case(
        files={"main.py": "import subprocess, sys\nsubprocess.run([sys.executable, 'src/app/m.py'])",
               "app/m.py": "import json\nprint(json.v)", "app/json.py": "v = 1"}
    ),
    "what every Python has loaded cannot be shadowed": program("import os, sys\nprint(hasattr(os, 'v'))", os="v = 1"),
    "what is built in cannot be shadowed": program("import time\nprint(hasattr(time, 'v'))", time="v = 1"),
    "sitecustomize is no submission's": program("print(1)", sitecustomize="print('site')"),
    "a module named as the runner's": program("import start, protocol\nprint(start.v + protocol.v)", start="v = 1", protocol="v = 1"),
    "main imports itself": program("if __name__ != 'main':\n    import main\nprint(__name__)"),
    "a package with a data file of such a name": Case(
        files={"main.py": "import json, pandas\nprint(json.load(open('src/data/numpy.json')), pandas.Series([1]).sum())",
               "data/numpy.json": "[1]"}
    ),
}  # fmt: skip

LOOK = "import os, sys\nprint(os.environ[{0!r}])\n"
VARIABLES: dict[str, Case] = {
    f"{name}={value}": Case(files={"main.py": LOOK.format(name) + source}, env={name: value})
    for name, value, source in (
        ("TZ", "America/New_York", "import datetime, time\nprint(datetime.datetime.fromtimestamp(0), time.tzname)"),
        ("TZ", "Asia/Kolkata", "import time\nprint(time.localtime(0)[:5], time.timezone)"),
        ("TZ", "nonsense", "import time\nprint(time.tzname, time.localtime(0)[:5])"),
        ("TZ", "EST5EDT", "import pandas, time\nprint(time.strftime('%H %Z', time.localtime(0)))"),
        ("LANG", "C", "import locale\nprint(locale.setlocale(locale.LC_ALL, ''), sys.flags.utf8_mode)"),
        ("LC_ALL", "POSIX", "import locale\nprint(locale.getpreferredencoding(), sys.stdout.encoding, sys.stdout.errors)"),
        ("LC_ALL", "de_DE.ISO-8859-1", "import locale\nprint(locale.getpreferredencoding(), sys.stdout.encoding)"),
        ("LC_CTYPE", "C", "print(sys.getfilesystemencoding(), os.environ.get('LC_CTYPE'), sys.stdin.errors)"),
        ("PYTHONHASHSEED", "0", "print(hash('a'), sys.flags.hash_randomization)"),
        ("PYTHONHASHSEED", "42", "print(hash('a'), list({'x', 'y', 'z'}))"),
        ("PYTHONHASHSEED", "random", "print(sys.flags.hash_randomization)"),
        ("PYTHONHASHSEED", "wrong", "print('never')"),
        ("PYTHONUTF8", "0", "print(sys.flags.utf8_mode)"),
        ("PYTHONUTF8", "2", "print('never')"),
        ("PYTHONIOENCODING", "latin-1:replace", "print(sys.stdout.encoding, sys.stdout.errors)"),
        ("PYTHONWARNINGS", "error", "print(sys.warnoptions)\nimport warnings\nwarnings.warn('x')"),
        ("PYTHONWARNINGS", "always::ResourceWarning", "f = open('/etc/passwd')"),
        ("PYTHONDEVMODE", "1", "print(sys.flags.dev_mode)"),
        ("PYTHONOPTIMIZE", "2", "assert 0\nprint(sys.flags.optimize, __doc__)"),
        ("PYTHONUNBUFFERED", "1", "print(sys.stdout.write_through)\nos._exit(0)"),
        ("PYTHONINTMAXSTRDIGITS", "640", "print(sys.get_int_max_str_digits())\nint('1' * 700)"),
        ("PYTHONTRACEMALLOC", "3", "import tracemalloc\nprint(tracemalloc.get_traceback_limit())"),
        ("PYTHONNODEBUGRANGES", "1", "x = 1\nx.y.z"),
        ("PYTHONFAULTHANDLER", "1", "import faulthandler\nprint(faulthandler.is_enabled())"),
        ("PYTHON_COLORS", "1", "1/0"),
        ("FORCE_COLOR", "1", "1/0"),
        ("NO_COLOR", "1", "1/0"),
        ("TMPDIR", "/nowhere", "import tempfile\nprint(tempfile.gettempdir() == '/tmp', tempfile.gettempprefix())"),
        ("OMP_NUM_THREADS", "1", "import numpy\nprint(numpy.ones(2).sum())"),
        ("COLUMNS", "40", "import shutil\nprint(shutil.get_terminal_size())"),
        ("GREETING", "héllo", "print(os.environb[b'GREETING'])"),
    )
}  # fmt: skip
