"""Upper bounds of submissions, each a setting `STENCIL_<NAME>`; defaults are the contract's."""

import functools
from dataclasses import dataclass, fields

from django.conf import settings
from django.core.signals import setting_changed

SPARE_VALUES = 500
MAX_BATCH = 100  # submissions of one request


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Upper bounds of a submission; bytes count UTF-8."""

    max_files: int = 1_000
    max_args: int = 256
    max_arg_bytes: int = 32 * 1024
    max_env: int = 64
    max_env_bytes: int = 8 * 1024
    max_stdin_bytes: int = 4 * 1024 * 1024
    max_labels: int = 16
    max_label_bytes: int = 256
    max_wait_seconds: int = 60
    max_cases: int = 1_000
    max_collect_patterns: int = 32
    max_collect_files: int = 64
    max_collect_bytes: int = 10 * 1024 * 1024

    @property
    def values(self) -> int:
        """Return how many JSON values a body may have.

        The largest submission of these sizes needs them (an object with three members for each
        file); the rest leaves room to name the errors of a larger one.
        """
        tables = self.max_env + self.max_labels
        return 4 * self.max_files + self.max_args + 2 * tables + SPARE_VALUES

    @property
    def submission_values(self) -> int:
        """Return how many JSON values the body of one submission may have.

        Many cases need nine values each, and then the submission has few files.
        """
        return self.values + 6 * self.max_cases

    @property
    def batch_values(self) -> int:
        """Return how many JSON values a batch may have: one large submission and many usual ones.

        Its bytes are bounded as those of a single submission are.
        """
        return self.submission_values + MAX_BATCH * SPARE_VALUES


@functools.cache
def sizes() -> Sizes:
    """Return the bounds in force; reads the settings once."""
    given: dict[str, int] = {}
    for field in fields(Sizes):
        value = getattr(settings, f"STENCIL_{field.name.upper()}", None)
        if value is not None:
            given[field.name] = int(value)
    return Sizes(**given)


def _forget(**_kwargs: object) -> None:
    """Receive `setting_changed`: a test that changes a setting gets other bounds."""
    sizes.cache_clear()


setting_changed.connect(_forget, dispatch_uid="execapp.conf")
