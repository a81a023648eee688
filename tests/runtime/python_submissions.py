"""Submissions whose outcome must be the same as with bare Python or bare pytest."""

RUNS: dict[str, dict[str, str]] = {
    "prints": {"main.py": 'print("hello", {"a": [1, 2]})'},
    "nothing": {"main.py": ""},
    "exit": {"main.py": "import sys\nsys.exit(7)"},
    "exit with a text": {"main.py": "raise SystemExit('because')"},
    "exit without a code": {"main.py": "import sys\nsys.exit()"},
    "exit with a large code": {"main.py": "import sys\nsys.exit(258)"},
    "exit at once": {"main.py": "import os\nprint(1, flush=True)\nos._exit(3)"},
    "raises": {"main.py": "def f(x):\n    return 1 / x\n\nf(0)"},
    "raises from": {
        "main.py": "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e"
    },
    "raises in a module": {"main.py": "import other", "other.py": "raise ValueError('other')"},
    "raises a group": {"main.py": "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])"},
    "raises with a note": {
        "main.py": "e = ValueError('x')\ne.add_note('more')\nraise e",
    },
    "raises in a thread": {
        "main.py": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='t')\n"
        "t.start()\nt.join()\nprint('on')"
    },
    "syntax error": {"main.py": "x = (1,\ny = 2"},
    "syntax error in a module": {"main.py": "import other", "other.py": "def"},
    "not UTF-8": {"main.py": "# -*- coding: latin-1 -*-\nprint(len('é'))"},
    "recursion": {
        "main.py": "def f():\n    f()\ntry:\n    f()\nexcept RecursionError as e:\n    print(e)"
    },
    "missing module": {"main.py": "import nothing_like_it"},
    "interrupted": {"main.py": "print('a')\nraise KeyboardInterrupt"},
    "killed": {"main.py": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)"},
    "much at once": {
        "main.py": "import fcntl\nfcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\nprint('x' * 700_000)"
    },
    "closes all descriptors": {"main.py": "import os\nprint(1, flush=True)\nos.closerange(3, 999)"},
    "standard output has the channel's number": {
        "main.py": "import os\nos.closerange(3, 999)\nfor n in range(3, 250):\n    os.dup2(1, n)"
    },
    "a forked child ends first": {
        "main.py": "import os, sys, time\nif os.fork() == 0:\n    sys.exit(0)\n"
        "os.wait()\nprint('still here')\nsys.exit(4)"
    },
    "a thread still runs at the end": {
        "main.py": "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\nprint('over')"
    },
    "input": {"main.py": "print(input('name? '), input())"},
    "input at the end": {"main.py": "while True:\n    print(input())"},
    "standard input": {"main.py": "import sys\nprint(sys.stdin.read().split())"},
    "arguments": {"main.py": "import sys\nprint(sys.argv[1:], len(sys.argv))"},
    "main module": {
        "main.py": "import os, sys\nprint(__name__, os.path.basename(__file__), __spec__,"
        " __package__, __doc__, __builtins__.__name__, sorted(globals()))\n"
        "print(sys.modules['__main__'].__dict__ is globals(), type(__loader__).__name__)"
    },
    "path": {"main.py": "import sys, os\nprint(os.path.basename(sys.path[0]), len(sys.path))"},
    "environment": {
        "main.py": "import os\nprint([k for k in os.environ if k.startswith(('STENCIL', 'PY'))])"
    },
    "modules and packages": {
        "main.py": "import pack.part\nfrom pack import name\nprint(pack.part.x, name)",
        "pack/__init__.py": "name = 'pack'",
        "pack/part.py": "x = 5",
    },
    "a module named like one that is warm": {
        "main.py": "import queue\nfrom json import mine\nprint(queue.what, mine)",
        "queue.py": "what = 'my queue'",
        "json.py": "mine = 'my json'",
    },
    "a module named like one that hides pandas": {
        "main.py": "import pandas\nprint(pandas.mine)",
        "pandas.py": "mine = 1",
    },
    "at exit": {
        "main.py": "import atexit, sys\natexit.register(print, 'first')\n"
        "atexit.register(lambda: print('second'))\nprint('main')\nsys.exit(4)"
    },
    "at exit after an error": {
        "main.py": "import atexit\natexit.register(print, 'bye')\nraise ValueError('x')"
    },
    "an error at exit": {"main.py": "import atexit\natexit.register(lambda: 1 / 0)"},
    "finalizers": {
        "main.py": "class A:\n    def __init__(self, n):\n        self.n = n\n"
        "    def __del__(self):\n        print('gone', self.n, len('x'))\na = A(1)\nb = A(2)\n"
    },
    "a thread that outlives the main one": {
        "main.py": "import threading\ndef f():\n    threading.main_thread().join()\n"
        "    print('late')\n"
        "threading.Thread(target=f).start()\nprint('early')"
    },
    "a daemon": {
        "main.py": "import threading, time\nthreading.Thread(target=time.sleep, args=(9,),"
        " daemon=True).start()\nprint('end')"
    },
    "a pool": {
        "main.py": "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool:\n    print(list(pool.map(abs, [-1, 2])))"
    },
    "processes": {
        "main.py": "from multiprocessing import Process\ndef f():\n    print('child')\n"
        "if __name__ == '__main__':\n    p = Process(target=f)\n    p.start()\n    p.join()\n"
        "    print(p.exitcode)"
    },
    "fork": {
        "main.py": "import os, sys\npid = os.fork()\nif pid == 0:\n    sys.exit(5)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    },
    "another Python": {
        "main.py": "import subprocess, sys\nsubprocess.run([sys.executable, '-c',"
        " 'import sys; print(sys.argv, sys.flags.isolated)'], check=True)"
    },
    "asyncio": {
        "main.py": "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n"
        "    print('async')\nasyncio.run(main())"
    },
    "both streams": {
        "main.py": "import sys\nprint('problem', file=sys.stderr)\nsys.stdout.write('no newline')"
    },
    "an excepthook": {
        "main.py": "import sys\nsys.excepthook = lambda k, e, t: print(k.__name__, e,"
        " t.tb_frame.f_code.co_name, t.tb_next)\nraise ValueError('hooked')"
    },
    "standard output closed": {"main.py": "import sys\nprint('x')\nsys.stdout.close()"},
    "warning": {"main.py": "import warnings\nwarnings.warn('careful', UserWarning)\nprint(1)"},
    "C library's output": {
        "main.py": "import ctypes\nctypes.CDLL(None).printf(b'from C\\n')",
    },
    "pandas": {
        "main.py": "import pandas as pd\nprint(pd.DataFrame({'a': [1, 2]}).sum().to_dict())"
    },
    "dataclass and typing": {
        "main.py": "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 1\n"
        "print(P())"
    },
    "pickle of a main class": {
        "main.py": "import pickle\nclass A:\n    pass\nprint(type(pickle.loads(pickle.dumps(A()))))"
    },
    "entry is missing": {"other.py": "print(1)"},
}

TESTS: dict[str, dict[str, str]] = {
    "passing": {"test_a.py": "def test_a():\n    assert 1 + 1 == 2"},
    "failing": {"test_a.py": "def test_a():\n    assert [1] == [2]\ndef test_b():\n    pass"},
    "named at the end": {"a_test.py": "def test_a():\n    pass"},
    "classes": {
        "test_a.py": "class TestOuter:\n    class TestInner:\n        def test_x(self):\n"
        "            pass\n    def test_y(self):\n        assert 0"
    },
    "unittest": {
        "test_a.py": "import unittest\nclass T(unittest.TestCase):\n    def setUp(self):\n"
        "        self.x = 1\n    def test_a(self):\n        self.assertEqual(self.x, 2)\n"
        "    @unittest.skip('no')\n    def test_b(self):\n        pass\n    def test_c(self):\n"
        "        for i in range(3):\n            with self.subTest(i=i):\n"
        "                self.assertEqual(i, 1)"
    },
    "parametrised": {
        "test_a.py": "import pytest\n@pytest.mark.parametrize('a', [1, 'b::c', None])\n"
        "@pytest.mark.parametrize('b', [True], ids=['yes'])\ndef test_a(a, b):\n    assert a != 1"
    },
    "skipped": {
        "test_a.py": "import pytest\n@pytest.mark.skip(reason='r')\ndef test_a(): pass\n"
        "@pytest.mark.skipif(True, reason='q')\ndef test_b(): pass\n"
        "def test_c():\n    pytest.skip('inside')"
    },
    "expected to fail": {
        "test_a.py": "import pytest\n@pytest.mark.xfail\ndef test_a(): assert 0\n"
        "@pytest.mark.xfail\ndef test_b(): pass\n"
        "@pytest.mark.xfail(strict=True)\ndef test_c(): pass\n"
        "@pytest.mark.xfail(raises=KeyError)\ndef test_d(): {}[1]"
    },
    "fixtures": {
        "conftest.py": "import pytest\n@pytest.fixture(scope='session')\ndef base():\n"
        "    yield 1\n    print('torn down')",
        "test_a.py": "def test_a(base, tmp_path, monkeypatch, capsys):\n"
        "    (tmp_path / 'x').write_text('1')\n    monkeypatch.setenv('A', 'b')\n"
        "    print('caught')\n    assert capsys.readouterr().out == 'caught\\n' and base == 1",
    },
    "a fixture fails": {
        "test_a.py": "import pytest\n@pytest.fixture\ndef f():\n    raise ValueError('set-up')\n"
        "def test_a(f): pass\ndef test_b(): pass"
    },
    "a fixture is missing": {"test_a.py": "def test_a(nothing): pass"},
    "tear-down fails": {
        "test_a.py": "import pytest\n@pytest.fixture\ndef f():\n    yield\n    assert 0\n"
        "def test_a(f): pass"
    },
    "import error": {"test_a.py": "import nothing_like_it\ndef test_a(): pass"},
    "syntax error": {"test_a.py": "def test_a(:\n", "test_b.py": "def test_b(): pass"},
    "conftest fails": {"conftest.py": "1 / 0", "test_a.py": "def test_a(): pass"},
    "no tests": {"test_a.py": "x = 1"},
    "no test file": {"a.py": "x = 1"},
    "sys.exit in a test": {
        "test_a.py": "import sys\ndef test_a():\n    sys.exit(0)\ndef test_b(): pass"
    },
    "pytest.exit": {
        "test_a.py": "import pytest\ndef test_a(): pass\n"
        "def test_b():\n    pytest.exit('enough')\ndef test_c(): pass"
    },
    "imports its neighbours": {
        "total.py": "def total(x):\n    return sum(x)",
        "test_a.py": "from total import total\ndef test_a():\n    assert total([1, 2]) == 3",
    },
    "folders": {
        "tests/unit/test_a.py": "def test_a(): pass",
        "tests/test_b.py": "def test_b(): pass",
    },
    "a module named like one that is warm": {
        "queue.py": "mine = 1",
        "test_a.py": "def test_a():\n    import queue\n    assert queue.mine == 1",
    },
    "its own settings": {
        "pytest.ini": "[pytest]\naddopts = -v -ra\npython_files = check_*.py\n"
        "markers = slow: takes long\n",
        "check_a.py": "import pytest\n@pytest.mark.slow\ndef test_a(): pass",
    },
    "a wrong setting": {"pytest.ini": "[pytest]\naddopts = --nonsense", "test_a.py": ""},
    "warnings are errors": {
        "pytest.ini": "[pytest]\nfilterwarnings = error\n",
        "test_a.py": "import warnings\ndef test_a():\n    warnings.warn('x')",
    },
    "prints": {"test_a.py": "def test_a():\n    print('seen')"},
    "numpy and pandas": {
        "test_a.py": "import numpy, pandas\ndef test_a():\n"
        "    assert pandas.Series(numpy.arange(3)).sum() == 3"
    },
    "skips itself": {
        "test_a.py": "import pytest\npytest.importorskip('nothing_like_it')\ndef test_a(): pass",
        "test_b.py": "def test_b(): pass",
    },
    "a root of its own": {
        "setup.py": "",
        "sub/test_a.py": "import os\ndef test_a(pytestconfig):\n"
        "    assert os.path.basename(pytestconfig.rootpath) == 'src'",
    },
    "a root above": {
        "sub/test_a.py": "import os\ndef test_a(pytestconfig):\n"
        "    assert pytestconfig.rootpath.name == 'src' and pytestconfig.inipath is None",
    },
    "hooks": {
        "conftest.py": "def pytest_addoption(parser):\n    parser.addoption('--mine', default=7)\n"
        "def pytest_sessionstart(session):\n    session.config.begun = True\n"
        "def pytest_collection_modifyitems(items):\n    items.reverse()",
        "sub/conftest.py": "import pytest\n@pytest.fixture(autouse=True)\ndef near():\n    yield",
        "sub/test_a.py": "seen = []\ndef test_a():\n    assert seen == [2]\n"
        "def test_b(request):\n    seen.append(2)\n    assert request.config.option.mine == 7\n"
        "    assert request.config.begun\n"
        "    assert 'near' in request.fixturenames",
    },
    "stops at the first": {
        "pytest.ini": "[pytest]\naddopts = -x",
        "test_a.py": "def test_a(): assert 0\ndef test_b(): pass",
    },
}
