"""Convert the reports of pytest into messages of the runner, and suppress pytest's terminal output."""
import os

import pytest

from . import finalization, protocol
from .output import Budget, Output, pass_on

MESSAGE_CHARS = 8_000
NAME_CHARS = 1_900
ERRORS = 50  # all errors are sent in one line, and the host limits the length of a line
FAILED, SKIPPED, PASSED = "failed", "skipped", "passed"


class Reporter:
    """A pytest plugin that sends the results of one session."""

    def __init__(self, source, *, silent=False):
        self.errors = []
        self._source = f"{source}/"
        self._silent = silent
        self._send = (lambda message: None) if silent else protocol.send
        self._running = None
        self._budget = Budget()

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config):
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal._tw._file = open(os.devnull, "w", encoding="utf-8")

    def pytest_unconfigure(self, config):
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal._tw._file.close()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config):
        status = yield
        if status == pytest.ExitCode.NO_TESTS_COLLECTED and not self.errors:
            self.error("", "No tests found")
        self._ends(status)
        outermost = config.hook.pytest_cmdline_main.get_hookimpls()[-1].plugin is self  # nobody changes it any more
        if outermost and not self._silent:
            finalization.expect_silently(int(status))
        return status

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if self._running is None or self._running.item is not item:
            self._running = _Case(item, self.relative(item.path), Output(self._budget))
        self._running.looks_at(report, call)
        self._running.hears(item._report_sections, silent=self._silent)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report):
        """Add a final report to the running test. A failed subtest makes the running test fail."""
        case = self._running
        if case is None:
            return
        if not hasattr(report, "context"):
            case.take(report)
            return
        case.hears_of(report, silent=self._silent)
        if report.failed:
            case.fail(f"{report.head_line}: {_text(report.longrepr)}", None)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid, location):
        case, self._running = self._running, None
        if case is not None:
            self._send(case.message())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector):
        report = yield
        if not self._silent:
            for title, text in report.sections:
                pass_on(title.split(), text)
        file = self.relative(getattr(collector, "path", ""))
        if report.failed:
            self.error(file, str(report.longrepr))
        elif report.skipped:  # a module that skips itself has no tests to report
            message = _capped(_text(report.longrepr))
            self._send({"type": "case", "name": file, "file": file, "state": SKIPPED, "message": message})
        return report

    def pytest_internalerror(self, excrepr, excinfo):
        self.error("", f"INTERNALERROR: {excrepr}")

    def pytest_keyboard_interrupt(self, excinfo):
        # An error during collection, which interrupts the session, has already been reported.
        ends_well = getattr(excinfo.value, "returncode", None) == pytest.ExitCode.OK
        if not isinstance(excinfo.value, pytest.Session.Interrupted) and not ends_well:
            self.error("", excinfo.exconly())

    def relative(self, path):
        return str(path).removeprefix(self._source)

    def error(self, file, message):
        if len(self.errors) < ERRORS:
            self.errors.append({"file": self.relative(file), "message": _capped(message)})

    def gives_up(self, file, message, status):
        """Report an error that ends pytest before it runs any test."""
        self.error(file, message)
        self._ends(status)

    def _ends(self, status):
        code = int(status) & 0xFF
        self._send({"type": "result", "errors": self.errors, "exit_code": code})


class _Case:
    """One test, from its set-up to its tear-down."""

    def __init__(self, item, file, output):
        self.item = item
        self._file = file
        self._output = output
        self._state = PASSED
        self._messages = []
        self._line = None
        self._place_of = {}
        self._seconds = 0.0
        self._heard = 0

    def looks_at(self, report, call):
        """Record the line of the failure: the final report does not contain it."""
        if report.failed:
            self._place_of[report.when] = self._place(call)

    def hears(self, sections, *, silent):
        """Add the output that pytest has captured since the last call."""
        for when, stream, text in sections[self._heard :]:
            self._output.add(stream, text)
            if not silent:
                pass_on((stream,), text)
        self._heard = len(sections)

    def hears_of(self, report, *, silent):
        """Add the output of a subtest, which is in the report of the subtest."""
        for title, text in report.sections:
            stream = next((word for word in title.split() if word in ("stdout", "stderr")), None)
            self._output.add(stream, text)
            if not silent:
                pass_on((stream,), text)

    def take(self, report):
        self._seconds += report.duration
        if report.failed:
            known = self._state == FAILED and str(report.longrepr).startswith("contains ")  # subtests
            if not known:
                self.fail(_text(report.longrepr), self._place_of.get(report.when))
        elif report.skipped and self._state == PASSED:
            self._state = SKIPPED
            reason = getattr(report, "wasxfail", None)
            self._messages.append(_text(report.longrepr) if reason is None else f"xfail: {reason}".rstrip(": "))

    def fail(self, message, line):
        if self._state != FAILED:
            self._state, self._messages, self._line = FAILED, [], line
        self._messages.append(message)

    def message(self):
        return {
            "type": "case",
            "name": self._name()[:NAME_CHARS],
            "file": self._file,
            "state": self._state,
            "duration_ms": self._seconds * 1000,
            "message": _capped("\n\n".join(self._messages)) or None,
            "line": self._line,
            "column": None,
            **self._output.fields(),
        }

    def _name(self):
        chain = self.item.listchain()
        files = [index for index, node in enumerate(chain) if isinstance(node, pytest.File)]
        return " > ".join(node.name for node in chain[files[-1] + 1 if files else -1 :])

    def _place(self, call):
        """Return the line of the failure in the file of the test, or else the first line of the test."""
        if call.excinfo is not None:
            for entry in reversed(call.excinfo.traceback):
                if str(entry.path) == str(self.item.path):
                    return entry.lineno + 1
        line = self.item.location[1]
        return None if line is None else line + 1


def _text(shown):
    """Return the short error message of a report."""
    if isinstance(shown, tuple):  # the path, line and reason of a skip
        return str(shown[2]).removeprefix("Skipped: ")
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        return crash.message
    return str(getattr(shown, "errorstring", None) or shown or "").strip()


def _capped(text):
    return text if len(text) <= MESSAGE_CHARS else f"{text[:MESSAGE_CHARS]}…"
