"""Mode `test`: the interpreter starts pytest as `python -m pytest src`. Before the job arrives, a trial run loads all of pytest."""
import os
import shutil
import sys
import tempfile

from _pytest import config as pytest_config
from _pytest._code import ExceptionInfo
from _pytest.fixtures import FixtureManager

from .reporter import Reporter

# pytest's default. It is not passed as an option, because an option overrides the submission's pytest.ini.
PATTERN = "test_*.py *_test.py"
TELLING = frozenset({"conftest.py", "setup.py"})
# Settings of the definition: tests read standard input; tests in all folders import from src/.
STDIN, ROOT = "STENCIL_TEST_STDIN", "STENCIL_TEST_ROOT"
# The errors that pytest reports itself: see `listen`.
USAGE_ERRORS = pytest_config.ConftestImportFailure, pytest_config.PluginImportFailure, pytest_config.UsageError
_prepareconfig = pytest_config._prepareconfig
_find_fixture = getattr(FixtureManager, "_find_wrapped_fixture_def", None)  # of pytest 9.1 and later
_ready = None
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
    """Load pytest and its plugins; return the names of all loaded modules."""
    options = {name: os.environ.pop(name) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS") if name in os.environ}
    _prepareconfig(["--noconftest", "-c", os.devnull])._ensure_unconfigure()
    os.environ.update(options)
    return frozenset(sys.modules)


def rehearse(source):
    """Run a few sample tests to load all of pytest, remove their traces, and prepare the configuration that most jobs use."""
    global _ready
    path, environment = list(sys.path), dict(os.environ)
    folder = tempfile.mkdtemp(prefix=".warm-")
    with open(f"{folder}/test_warm.py", "w") as file:
        file.write(REHEARSAL)
    args = ["-p", "no:cacheprovider", "--rootdir", folder, "-c", os.devnull, folder]
    config = _prepareconfig(args, [Reporter(folder, silent=True)])
    remember_plain_objects()
    config.hook.pytest_cmdline_main(config=config)
    config._ensure_unconfigure()
    shutil.rmtree(folder)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    for name in [name for name, module in sys.modules.items() if in_folder(module, folder)]:
        del sys.modules[name]
    for place in [place for place in sys.path_importer_cache if place.startswith(folder)]:
        del sys.path_importer_cache[place]
    reporter = Reporter(source)
    _ready = reporter, _prepareconfig(["src"], [reporter])


def remember_plain_objects():
    """Note which objects of pytest and its plugins hide no fixture: each session would look again at thousands of them."""
    if _find_fixture is None:
        return
    plain = {}

    def find(manager, item):
        if id(item) in plain:
            return None
        found = _find_fixture(manager, item)
        if found is None and _ready is None:  # an object of the rehearsal, which stays alive here
            plain[id(item)] = item
        return found

    FixtureManager._find_wrapped_fixture_def = find


def close_capture():
    """Close the files with which the prepared configuration captures output: a fork must not share them."""
    _capture().stop_global_capturing()


def open_capture():
    """Capture output again, in the state in which pytest leaves a prepared configuration."""
    _capture().start_global_capturing()
    _capture().suspend_global_capture()


def _capture():
    return _ready[1].pluginmanager.getplugin("capturemanager")


def in_folder(module, folder):
    return str(getattr(module, "__file__", None) or "").startswith(f"{folder}/")


def ready_for(job, args):
    """Return the prepared reporter and configuration, or None if the job could change the configuration.

    Settings can be in files that are not Python modules, in `conftest.py` and in the environment. pytest
    also uses the folder of a `setup.py` as the root.
    """
    global _ready
    ready, _ready = _ready, None
    if ready is None:
        return None
    names = [file["path"].rpartition("/")[2] for file in job["files"]]
    plain = all(name.endswith(".py") and name not in TELLING for name in names)
    if plain and not job["env"] and args == ["src"]:
        return ready
    ready[1]._ensure_unconfigure()
    return None


def prepare(job, source, settings):
    """Make pytest test the submission and report to the host; return the entries to add to sys.path."""
    pattern = job["pattern"]
    args = ["-o", f"python_files={pattern}"] if pattern and pattern != PATTERN else []
    args += ["--capture=no"] if settings.get(STDIN) == "1" else []
    args += ["src"]
    sys.argv[1:] = ["src"]
    sys.orig_argv[:] = [sys.orig_argv[0], "-B", "-m", "pytest", "src"]
    reporter, config = ready_for(job, args) or (Reporter(source), None)

    def configured(given, plugins=None, *, prog=None):
        pytest_config._prepareconfig = _prepareconfig
        try:
            return config or _prepareconfig(args, [reporter, *(plugins or ())], prog=prog)
        except USAGE_ERRORS:
            raise
        except BaseException as error:
            status = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1
            reporter.gives_up("", f"{type(error).__name__}: {error}", status)
            raise SystemExit(status) from None

    pytest_config._prepareconfig = configured
    listen(reporter)
    return [source] if settings.get(ROOT) == "1" else []


def listen(reporter):
    """Send the errors that prevent pytest from starting in the report, instead of printing them to standard error."""

    def conftest(failure, file):
        shown = ExceptionInfo.from_exception(failure.cause).getrepr(style="short", chain=False)
        reporter.gives_up(str(failure.path), f"ImportError while loading conftest\n{shown}", 4)

    def plugin(failure, file):
        reporter.gives_up("", str(failure), 3)

    def usage(error, file):
        reporter.gives_up("", "\n".join(map(str, error.args)), 4)

    pytest_config.print_conftest_import_error = conftest
    pytest_config.print_plugin_import_error = plugin
    pytest_config.print_usage_error = usage
