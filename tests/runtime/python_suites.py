"""Suites for edge cases: subtests, processes, configuration, names, standard input, exit codes."""

TRUE = "def test_a(): pass\n"

SUITES: dict[str, dict[str, str]] = {
    "a skipped subtest": {
        "test_a.py": "import unittest\nclass T(unittest.TestCase):\n    def test_b(self):\n"
        "        for i in range(3):\n            with self.subTest(i=i):\n                if i == 1: self.skipTest('s')"
    },
    "a skipped subtest of pytest's": {
        "test_a.py": "import pytest\ndef test_a(subtests):\n    for i in range(3):\n"
        "        with subtests.test(i=i):\n            if i == 1: pytest.skip('s')"
    },
    "an xfailed subtest": {
        "test_a.py": "import pytest\ndef test_a(subtests):\n    for i in range(3):\n"
        "        with subtests.test(i=i):\n            if i == 1: pytest.xfail('s')"
    },
    "a failed subtest": {
        "test_a.py": "def test_a(subtests):\n    for i in range(3):\n        with subtests.test('m', i=i):\n            assert i != 1"
    },
    "failed and skipped subtests": {
        "test_a.py": "import pytest\ndef test_a(subtests):\n    with subtests.test('a'): assert 0\n"
        "    with subtests.test('b'): pytest.skip('s')\ndef test_b(): pass"
    },
    "all subtests skipped": {
        "test_a.py": "import unittest\nclass T(unittest.TestCase):\n    def test_b(self):\n"
        "        with self.subTest(): self.skipTest('s')"
    },
    "a subtest fails in a TestCase, then it skips": {
        "test_a.py": "import unittest\nclass T(unittest.TestCase):\n    def test_b(self):\n"
        "        with self.subTest(1): self.fail('x')\n        with self.subTest(2): self.skipTest('s')"
    },
    "skips after a passing subtest": {
        "test_a.py": "import pytest\ndef test_a(subtests):\n    with subtests.test('a'): pass\n    pytest.skip('rest')"
    },
    "expected failure in a TestCase": {
        "test_a.py": "import unittest\nclass T(unittest.TestCase):\n    @unittest.expectedFailure\n    def test_b(self): self.fail()\n"
        "    @unittest.expectedFailure\n    def test_c(self): pass"
    },
    "spawn": {
        "test_a.py": "import multiprocessing as mp\ndef f(x): return x*2\ndef test_a():\n"
        "    with mp.get_context('spawn').Pool(1) as p: assert p.map(f, [1]) == [2]"
    },
    "spawn in a folder": {
        "tests/test_a.py": "import multiprocessing as mp\ndef f(q): q.put(3)\ndef test_a():\n    c = mp.get_context('spawn')\n"
        "    q = c.Queue()\n    p = c.Process(target=f, args=(q,))\n    p.start()\n    assert q.get() == 3\n    p.join()"
    },
    "forkserver": {
        "test_a.py": "import multiprocessing as mp\ndef f(x): return x*2\ndef test_a():\n"
        "    with mp.get_context('forkserver').Pool(1) as p: assert p.map(f, [1]) == [2]"
    },
    "process pool": {
        "test_a.py": "from concurrent.futures import ProcessPoolExecutor as P\nimport multiprocessing as mp\n"
        "def test_a():\n    with P(1, mp_context=mp.get_context('spawn')) as p: assert list(p.map(abs, [-1])) == [1]"
    },
    "main is pytest": {
        "test_a.py": "import sys\ndef test_a():\n    m = sys.modules['__main__']\n"
        "    assert m.__spec__.name == 'pytest.__main__' and m.__file__.endswith('pytest/__main__.py')"
    },
    "fork": {
        "test_a.py": "import os\ndef test_a():\n    pid = os.fork()\n    if pid == 0: os._exit(4)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4"
    },
    "imports what lies above": {"calc.py": "v = 1", "tests/test_a.py": "import calc\n" + TRUE},
    "imports what lies above by a conftest": {
        "conftest.py": "", "calc.py": "v = 1", "tests/test_a.py": "import calc\n" + TRUE
    },
    "imports what lies above by pythonpath": {
        "pytest.ini": "[pytest]\npythonpath = .\n", "calc.py": "v = 1", "tests/test_a.py": "import calc\n" + TRUE
    },
    "imports what lies above, from a package": {
        "calc.py": "v = 1", "tests/__init__.py": "", "tests/test_a.py": "import calc\n" + TRUE
    },
    "two tests of one name": {"a/test_x.py": TRUE, "b/test_x.py": TRUE},
    "two tests of one name in packages": {
        "a/__init__.py": "", "a/test_x.py": TRUE, "b/__init__.py": "", "b/test_x.py": TRUE
    },
    "import mode importlib": {
        "pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n", "a/test_x.py": TRUE, "b/test_x.py": TRUE
    },
    "relative import": {
        "pack/__init__.py": "", "pack/mod.py": "v = 1", "pack/test_a.py": "from .mod import v\n" + TRUE
    },
    "numpy in a folder": {"sub/numpy.py": "v=1\n", "sub/test_a.py": "import numpy\ndef test_a(): assert numpy.v==1\n"},
    "queue in a folder": {"sub/queue.py": "v=1\n", "sub/test_a.py": "import queue\ndef test_a(): assert queue.v==1\n"},
    "decimal put on the path": {
        "lib/decimal.py": "v = 1", "test_a.py": "import sys\nsys.path.insert(0, 'src/lib')\nimport decimal\n"
        "def test_a(): assert decimal.v == 1"
    },
    "json belongs to pytest": {"json.py": "v = 1", "test_a.py": "import json\ndef test_a(): assert not hasattr(json, 'v')"},
    "pandas beside": {"pandas.py": "v = 1", "test_a.py": "import pandas\ndef test_a(): assert pandas.v == 1"},
    "stdin in a test": {"test_a.py": "def test_a():\n    assert input() == 'Ada'"},
    "stdin read by sys": {"test_a.py": "import sys\ndef test_a():\n    sys.stdin.read()"},
    "stdin at import": {"test_a.py": "x = input()\n" + TRUE},
    "stdin by its descriptor": {"test_a.py": "import os\ndef test_a():\n    assert os.read(0, 9) == b''"},
    "stdin of a child": {
        "test_a.py": "import subprocess, sys\ndef test_a():\n"
        "    assert subprocess.run([sys.executable, '-c', 'print(len(input()))'], capture_output=True).returncode == 1"
    },
    "stdin replaced": {"test_a.py": "import io\ndef test_a(monkeypatch):\n    monkeypatch.setattr('sys.stdin', io.StringIO('a'))\n    assert input() == 'a'"},
    "capture is off": {"pytest.ini": "[pytest]\naddopts = -s\n", "test_a.py": "def test_a():\n    assert input() == 'Ada'"},
    "capsys and capfd": {
        "test_a.py": "import os\ndef test_a(capsys):\n    print('a')\n    assert capsys.readouterr().out == 'a\\n'\n"
        "def test_b(capfd):\n    os.write(1, b'b')\n    assert capfd.readouterr().out == 'b'"
    },
    "stdout's descriptor": {"test_a.py": "import sys\ndef test_a():\n    assert sys.stdout.fileno() > 2\n    assert type(sys.stdout).__name__ == 'EncodedFile'"},
    "collection fails": {"test_a.py": "1/0", "test_b.py": TRUE},
    "goes on after errors": {
        "pytest.ini": "[pytest]\naddopts = --continue-on-collection-errors\n", "test_a.py": "1/0", "test_b.py": TRUE
    },
    "nothing but deselected": {"pytest.ini": "[pytest]\naddopts = -k nothing\n", "test_a.py": TRUE},
    "exit with a status": {"test_a.py": "import pytest\ndef test_a(): pytest.exit('x', returncode=7)"},
    "exit while collecting": {"test_a.py": "import pytest\npytest.exit('x', returncode=9)"},
    "interrupted": {"test_a.py": "def test_a(): raise KeyboardInterrupt\ndef test_b(): pass"},
    "at most two failures": {
        "pytest.ini": "[pytest]\naddopts = --maxfail=2\n",
        "test_a.py": "def test_a(): assert 0\ndef test_b(): assert 0\ndef test_c(): pass",
    },
    "stepwise": {"pytest.ini": "[pytest]\naddopts = --stepwise\n", "test_a.py": "def test_a(): assert 0\ndef test_b(): pass"},
    "an internal error": {"conftest.py": "def pytest_runtest_setup(item): raise RuntimeError\ndef pytest_collection_finish(): raise ValueError('x')", "test_a.py": TRUE},
    "a hook of no name": {"conftest.py": "def pytest_no_such_hook(): pass", "test_a.py": TRUE},
    "conftest exits": {"conftest.py": "import sys\nsys.exit(6)", "test_a.py": TRUE},
    "conftest changes the status": {"conftest.py": "def pytest_sessionfinish(session): session.exitstatus = 11", "test_a.py": TRUE},
    "a plugin of the submission": {
        "conftest.py": "pytest_plugins = ['mine']", "mine.py": "import pytest\n@pytest.fixture\ndef one(): return 1",
        "test_a.py": "def test_a(one): assert one == 1",
    },
    "a plugin by -p": {
        "pytest.ini": "[pytest]\naddopts = -p mine\npythonpath = .\n", "mine.py": "import pytest\n@pytest.fixture\ndef one(): return 1",
        "test_a.py": "def test_a(one): assert one == 1",
    },
    "a plugin that is missing": {"pytest.ini": "[pytest]\naddopts = -p nothing_like_it\n", "test_a.py": TRUE},
    "without the terminal": {"pytest.ini": "[pytest]\naddopts = -p no:terminal -p no:cacheprovider\n", "test_a.py": TRUE},
    "pyproject": {
        "pyproject.toml": "[tool.pytest.ini_options]\npython_files = ['check_*.py']\npython_functions = ['it_*']\n",
        "check_a.py": "def it_works(): pass\ndef test_a(): assert 0",
    },
    "pyproject, pytest's own table": {
        "pyproject.toml": "[tool.pytest]\npython_functions = ['it_*']\n", "test_a.py": "def it_works(): pass\ndef test_a(): assert 0"
    },
    "pyproject without pytest": {"pyproject.toml": "[project]\nname = 'x'\n", "a/test_a.py": "def test_a(pytestconfig): assert pytestconfig.rootpath.name == 'src'"},
    "a broken pyproject": {"pyproject.toml": "[tool.pytest.ini_options\n", "test_a.py": TRUE},
    "setup.cfg": {"setup.cfg": "[tool:pytest]\naddopts = -k a\n", "test_a.py": TRUE + "def test_b(): assert 0"},
    "tox.ini": {"tox.ini": "[pytest]\nmarkers = slow: s\naddopts = -m 'not slow' --strict-markers\n",
                "test_a.py": "import pytest\n@pytest.mark.slow\ndef test_a(): assert 0\ndef test_b(): pass"},
    "pytest.toml": {"pytest.toml": "[pytest]\npython_functions = ['it_*']\n", "test_a.py": "def it_works(): pass"},
    "a hidden pytest.ini": {".pytest.ini": "[pytest]\npython_functions = it_*\n", "test_a.py": "def it_works(): pass"},
    "settings below are not read": {"sub/pytest.ini": "[pytest]\npython_functions = it_*\n", "sub/test_a.py": TRUE},
    "testpaths": {"pytest.ini": "[pytest]\ntestpaths = a\n", "a/test_a.py": TRUE, "b/test_b.py": TRUE},
    "norecursedirs": {"pytest.ini": "[pytest]\nnorecursedirs = b\n", "a/test_a.py": TRUE, "b/test_b.py": TRUE},
    "collect_ignore": {"conftest.py": "collect_ignore = ['test_b.py']", "test_a.py": TRUE, "test_b.py": "1/0"},
    "strict markers": {"pytest.ini": "[pytest]\naddopts = --strict-markers\n", "test_a.py": "import pytest\n@pytest.mark.odd\ndef test_a(): pass"},
    "strict xfail": {"pytest.ini": "[pytest]\nxfail_strict = true\n", "test_a.py": "import pytest\n@pytest.mark.xfail\ndef test_a(): pass"},
    "filterwarnings by category": {
        "pytest.ini": "[pytest]\nfilterwarnings =\n    error::DeprecationWarning\n",
        "test_a.py": "import warnings\ndef test_a(): warnings.warn('x', DeprecationWarning)\ndef test_b(): warnings.warn('x')",
    },
    "unraisable is an error": {
        "pytest.ini": "[pytest]\nfilterwarnings = error\n",
        "test_a.py": "import gc\nclass A:\n    def __del__(self): 1/0\ndef test_a():\n    A()\n    gc.collect()",
    },
    "a collector of its own": {
        "conftest.py": "import pytest\nclass F(pytest.File):\n    def collect(self):\n        yield I.from_parent(self, name='one')\n"
        "class I(pytest.Item):\n    def runtest(self): assert self.path.read_text() == 'yes'\n"
        "def pytest_collect_file(parent, file_path):\n    if file_path.suffix == '.txt': return F.from_parent(parent, path=file_path)",
        "a.txt": "yes", "b.txt": "no",
    },
    "parameters by a hook": {
        "conftest.py": "def pytest_generate_tests(metafunc):\n    if 'n' in metafunc.fixturenames: metafunc.parametrize('n', [1, 2])",
        "test_a.py": "def test_a(n): assert n == 1",
    },
    "doctests": {"pytest.ini": "[pytest]\naddopts = --doctest-modules\n", "calc.py": "'''\n>>> 1 + 1\n2\n'''", "test_a.py": TRUE},
    "an option's default": {
        "pytest.ini": "[pytest]\naddopts = --mine=5\n",
        "conftest.py": "def pytest_addoption(parser): parser.addoption('--mine')",
        "test_a.py": "def test_a(pytestconfig): assert pytestconfig.getoption('mine') == '5'",
    },
    "a report of its own": {"pytest.ini": "[pytest]\naddopts = --durations=3 -vv --tb=line\n", "test_a.py": "def test_a(): assert 0"},
    "a stack without ours": {
        "test_a.py": "import inspect\ndef test_a():\n    names = [f.filename for f in inspect.stack()]\n"
        "    assert not [n for n in names if 'runner' in n.replace('_pytest/runner.py', '') or 'stencil' in n]\n"
        "    assert names[-1].endswith('runpy.py') or 'runpy' in names[-1]",
    },
    "arguments and modules": {
        "test_a.py": "import sys\ndef test_a():\n    assert sys.argv[1:] and sys.argv[-1] == 'src'\n"
        "    assert not [n for n in sys.modules if 'stencil' in n]\n    assert sys.path.count('') == 0",
    },
    "asserts are rewritten in helpers": {
        "conftest.py": "import pytest\npytest.register_assert_rewrite('helper')", "helper.py": "def check(x): assert x == [2]",
        "test_a.py": "from helper import check\nimport pytest\ndef test_a():\n    with pytest.raises(AssertionError, match='1'): check([1])",
    },
    "a thread fails": {"test_a.py": "import threading\ndef test_a():\n    t = threading.Thread(target=lambda: 1/0)\n    t.start()\n    t.join()"},
    "async without a plugin": {"test_a.py": "async def test_a(): pass"},
    "a test returns": {"test_a.py": "def test_a(): return 1"},
    "set-up of a module fails": {"test_a.py": "def setup_module(): 1/0\ndef test_a(): pass\ndef test_b(): pass"},
    "tear-down of a session fails": {
        "conftest.py": "import pytest\n@pytest.fixture(scope='session', autouse=True)\ndef s():\n    yield\n    1/0", "test_a.py": TRUE
    },
    "Latin-1": {"test_a.py": "# coding: latin-1\ndef test_a(): assert 'é'"},
    "pytester is not there": {"test_a.py": "def test_a(pytester): pass"},
    "caplog": {"test_a.py": "import logging\ndef test_a(caplog):\n    logging.warning('x')\n    assert caplog.messages == ['x']"},
    "recwarn": {"test_a.py": "import warnings\ndef test_a(recwarn):\n    warnings.warn('x')\n    assert len(recwarn) == 1"},
    "tmp_path_factory": {"test_a.py": "def test_a(tmp_path_factory): assert tmp_path_factory.mktemp('x').is_dir()"},
    "a test replaces os.write": {
        "test_a.py": "import os\ndef test_a(monkeypatch):\n    monkeypatch.setattr(os, 'write', lambda *a: 1 / 0)\n"
        "def test_b(): os.write = lambda *a: 1 / 0\ndef test_c(): pass\ndef test_d(): assert 0"
    },
    "the cache": {"test_a.py": "def test_a(cache):\n    cache.set('a/b', 1)\n    assert cache.get('a/b', 0) == 1"},
}  # fmt: skip
