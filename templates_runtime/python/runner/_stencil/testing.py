"""Mode `test`: pytest in this process, rehearsed before the job arrives."""
import os
import shutil
import sys
import tempfile

import pytest
from _pytest import config as pytest_config
from _pytest._code import ExceptionInfo

from . import protocol
from .reporter import Reporter

# pytest's own; given as an option it would win over what the submission's pytest.ini says.
PATTERN = "test_*.py *_test.py"
OURS = ("--capture=no",)
TELLING = frozenset({"conftest.py", "setup.py"})
_prepared = None
REHEARSAL = '''
import unittest
import pytest

@pytest.fixture
def two():
    yield 2

@pytest.mark.parametrize("one", [1, 2])
def test_passes(one, two, monkeypatch, capsys):
    with pytest.raises(ZeroDivisionError):
        one / 0

def test_fails(two):
    assert {"a": [1, two]} == {"a": [1, 3]}

@pytest.mark.skip
def test_skipped():
    pass

@pytest.mark.xfail
def test_expected():
    assert [] == [1]

class TestCase(unittest.TestCase):
    def test_method(self):
        self.assertEqual(1, 1)
'''


def load():
    """Load pytest and its plugins; return the modules that are loaded then."""
    pytest_config._prepareconfig(["--noconftest", "-c", os.devnull])._ensure_unconfigure()
    return frozenset(sys.modules)


def rehearse():
    """Run a few tests of our own, which loads all of pytest, and leave no trace of them."""
    path, environment = list(sys.path), dict(os.environ)
    folder = tempfile.mkdtemp(prefix=".warm-")
    with open(f"{folder}/test_warm.py", "w") as file:
        file.write(REHEARSAL)
    session(["-p", "no:cacheprovider", "--rootdir", folder, "-c", os.devnull, folder], Reporter(folder, silent=True))
    shutil.rmtree(folder)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    for name in [name for name, module in sys.modules.items() if in_folder(module, folder)]:
        del sys.modules[name]
    for place in [place for place in sys.path_importer_cache if place.startswith(folder)]:
        del sys.path_importer_cache[place]


def in_folder(module, folder):
    return str(getattr(module, "__file__", None) or "").startswith(f"{folder}/")


def prepare(source):
    """Configure pytest for a submission that says nothing of its own about that: most do not."""
    global _prepared
    reporter = Reporter(source)
    _prepared = reporter, pytest_config._prepareconfig([*OURS, "src"], [reporter])


def prepared(job, options):
    """Return the reporter and configuration made before, or None if this job could change it.

    Settings stand in files that are no modules, in `conftest.py` and in the environment; and the
    place of a `setup.py` tells pytest which folder is the root.
    """
    global _prepared
    ready, _prepared = _prepared, None
    if ready is None:
        return None
    names = [file["path"].rpartition("/")[2] for file in job["files"]]
    plain = all(name.endswith(".py") and name not in TELLING for name in names)
    if plain and not job["env"] and not options:
        return ready
    ready[1]._ensure_unconfigure()
    return None


def perform(job, source):
    """Test the submission and tell the host; return the exit status."""
    pattern = job["pattern"]
    options = ["-o", f"python_files={pattern}"] if pattern and pattern != PATTERN else []
    reporter, config = prepared(job, options) or (Reporter(source), None)
    os.environ["PYTEST_VERSION"] = pytest.__version__
    status = session([*options, "src"], reporter, config)
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and not reporter.errors:
        reporter.error("", "No tests found")
    code = 0 if status == pytest.ExitCode.OK and not reporter.errors else 1
    protocol.send({"type": "result", "errors": reporter.errors, "exit_code": code})
    return code


def session(args, reporter, config=None):
    """What `pytest.main` does, with its complaints in the report instead of on standard error."""
    try:
        config = config or pytest_config._prepareconfig([*OURS, *args], [reporter])
    except pytest_config.ConftestImportFailure as failure:
        shown = ExceptionInfo.from_exception(failure.cause).getrepr(style="short", chain=False)
        reporter.error(str(failure.path), f"ImportError while loading conftest\n{shown}")
        return pytest.ExitCode.USAGE_ERROR
    except (Exception, SystemExit, pytest.exit.Exception) as error:
        reporter.error("", f"{type(error).__name__}: {error}")
        return pytest.ExitCode.USAGE_ERROR
    try:
        return config.hook.pytest_cmdline_main(config=config)
    except pytest.UsageError as error:
        reporter.error("", str(error))
        return pytest.ExitCode.USAGE_ERROR
    finally:
        config._ensure_unconfigure()
