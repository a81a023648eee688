"""Fixtures that seal a version, so that the tests of triggers have rows."""

from tests.templatemgr.conftest import committed, data_dir, make_sealed_version

__all__ = ["committed", "data_dir", "make_sealed_version"]
