"""Reading executions: which of them a viewer may see, one of them, and pages of them."""

from execapp.history.filters import ExecutionFilter, parse_filter, parse_filter_form
from execapp.history.query import Viewer, get, page, visible

__all__ = [
    "ExecutionFilter",
    "Viewer",
    "get",
    "page",
    "parse_filter",
    "parse_filter_form",
    "visible",
]
