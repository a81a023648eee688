"""`--matrix=changed` skips each matrix that passed before; `--remember-matrix` records a pass."""

from typing import Any

import pytest

from tests.runtime import matrix

RUNTIME = matrix.PASSED.parent


class Matrix:
    """The tests that one run skips, and the fingerprints that it may record at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._left_out: dict[str, int] = {}
        self._whole = False
        self._fingerprints: dict[str, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """With `--matrix=changed`, deselect the tests of each matrix that passed before."""
        # Hash the files before the tests run: a file edited during the run has not been tested.
        self._fingerprints = matrix.fingerprints()
        self._whole = set(RUNTIME.glob("test_*.py")) <= {item.path for item in items}
        if self._config.getoption("matrix") != "changed":
            return
        unchanged = matrix.unchanged()
        kept, left = [], []
        for item in items:
            name = matrix.of(item) if item.path.parent == RUNTIME else None
            if name in unchanged:
                self._left_out[str(name)] = self._left_out.get(str(name), 0) + 1
                left.append(item)
            else:
                kept.append(item)
        if left:
            self._config.hook.pytest_deselected(items=left)
            items[:] = kept

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the number of skipped tests per matrix."""
        for name, count in sorted(self._left_out.items()):
            terminalreporter.write_line(
                f"matrix of {name}: {count} tests left out, they passed with exactly this tree; "
                "make test-all runs them"
            )

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Record the fingerprints if all tests were run and none failed."""
        if not self._config.getoption("remember_matrix"):
            return
        narrowed = ("keyword", "markexpr", "deselect", "lf")
        chosen = [getattr(self._config.option, name, None) for name in narrowed]
        chosen.append(any("::" in argument for argument in self._config.args))
        if exitstatus == pytest.ExitCode.OK and self._whole and not any(chosen):
            matrix.remember(self._fingerprints)
