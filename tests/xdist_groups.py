"""Groups of tests that stay together when `-n` spreads them over workers, and their order.

Each file stays together, and so do files that share a costly start. The longest groups start
first, so that no worker runs a long file alone at the end.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# The longest first, by the durations of a whole run. A group of several files has one start.
LONGEST = (
    ("tests/test_quickstart.py", "tests/test_docs.py"),
    ("tests/templatemgr/builders/test_pip_sources.py",),
    ("tests/templatemgr/build/test_pip_source_builds.py",),
    ("tests/test_up.py",),
    ("tests/templatemgr/build/test_pip_builds.py",),
    ("tests/execapp/executor/test_build_process.py",),
    ("tests/templatemgr/build/test_reproducibility.py",),
    ("tests/templatemgr/test_crashes.py",),
    ("tests/webui/test_odd_input.py",),
    ("tests/webui/test_many_rows.py",),
    ("tests/templatemgr/build/test_builds.py",),
    ("tests/faults/test_damage.py",),
    ("tests/execapp/executor/test_daemon.py",),
    ("tests/execapp/executor/test_machine_faults.py",),
    ("tests/execapp/executor/test_verification_worker.py",),
    ("tests/templatemgr/build/test_input_changes.py",),
)


def group_of(nodeid: str) -> str:
    """Return the name of a test's group: its file, or the first file of its group."""
    file = nodeid.split("::")[0]
    return next((group[0] for group in LONGEST if file in group), file)


def rank_of(nodeid: str) -> int:
    """Return the rank of a test's group; groups that are not in `LONGEST` come last."""
    ranks = [group[0] for group in LONGEST]
    name = group_of(nodeid)
    return ranks.index(name) if name in ranks else len(ranks)


class Groups(LoadScopeScheduling):
    """Give a worker a whole group at a time, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker, put the groups in their order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank_of(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Return the scheduler of the process that distributes the tests."""
    config.option.loadscopereorder = False  # by size would begin with many small tests
    return Groups(config, log)
