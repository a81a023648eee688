"""Which tests stay together when `-n` spreads them over workers.

Each file does, and so does what shares a costly start. Those groups come first, so that no worker
is left alone with one of them at the end.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

GROUPS = (("tests/test_quickstart.py", "tests/test_docs.py"),)


def group_of(nodeid: str) -> str:
    """The name of a test's group."""
    found = (group[0] for group in GROUPS if nodeid.startswith(group))
    return next(found, nodeid.split("::")[0])


def rank_of(nodeid: str) -> int:
    """The place of a test's group among all."""
    ranks = [group[0] for group in GROUPS]
    name = group_of(nodeid)
    return ranks.index(name) if name in ranks else len(ranks)


class Groups(LoadScopeScheduling):
    """Gives a worker a whole group at a time, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker: groups in their order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank_of(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """For the one that gives out the work."""
    config.option.loadscopereorder = False  # by size would begin with many small tests
    return Groups(config, log)
