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
ARGUMENTS = ["--capture=no", "src"]
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


def rehearse(source):
    """Run a few tests of our own, which loads all of pytest, and leave no trace of them. Returns what runs the next."""
    path, environment = list(sys.path), dict(os.environ)
    folder = tempfile.mkdtemp(prefix=".warm-")
    with open(f"{folder}/test_warm.py", "w") as file:
        file.write(REHEARSAL)
    options = ["-p", "no:cacheprovider", "--rootdir", folder, "-c", os.devnull]
    session(Attempt([ARGUMENTS[0], *options, folder], Reporter(folder, silent=True)))
    shutil.rmtree(folder)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    for name in [name for name, module in sys.modules.items() if in_folder(module, folder)]:
        del sys.modules[name]
    for place in [place for place in sys.path_importer_cache if place.startswith(folder)]:
        del sys.path_importer_cache[place]
    return Attempt(list(ARGUMENTS), Reporter(source))


def in_folder(module, folder):
    return str(getattr(module, "__file__", None) or "").startswith(f"{folder}/")


class Attempt:
    """One run of pytest with its own plugins loaded, which needs no submission and takes a third of a small run."""

    def __init__(self, arguments, reporter):
        self.arguments, self.reporter = arguments, reporter
        self._config = pytest_config.get_config(arguments, [reporter])

    def configured(self):
        """The rest of what pytest does with its arguments, its files of settings and its environment."""
        manager = self._config.pluginmanager
        try:
            manager.register(self.reporter)
            return manager.hook.pytest_cmdline_parse(pluginmanager=manager, args=self.arguments)
        except BaseException:
            self._config._ensure_unconfigure()
            raise


def perform(job, source, attempt):
    """Test the submission and tell the host; return the exit status. `attempt` was made before it came, or is None."""
    pattern = job["pattern"]
    options = ["-o", f"python_files={pattern}"] if pattern and pattern != PATTERN else []
    os.environ["PYTEST_VERSION"] = pytest.__version__
    if attempt is None or options or any(name.startswith("PYTEST_") for name in job["env"]):
        attempt = Attempt([*options, *ARGUMENTS], Reporter(source))
    status, reporter = session(attempt), attempt.reporter
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and not reporter.errors:
        reporter.error("", "No tests found")
    code = 0 if status == pytest.ExitCode.OK and not reporter.errors else 1
    protocol.send({"type": "result", "errors": reporter.errors, "exit_code": code})
    return code


def session(attempt):
    """What `pytest.main` does, with its complaints in the report instead of on standard error."""
    reporter = attempt.reporter
    try:
        config = attempt.configured()
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
