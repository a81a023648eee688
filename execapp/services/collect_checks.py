"""Check the patterns of files to collect, and record what holds for them. Decision 0047."""

from collections.abc import Sequence
from typing import Any

from execapp.conf import Sizes
from execapp.errors import MAX_REPORTED, Field
from sandbox.session.file_patterns import check_patterns


def check(patterns: Sequence[str], sizes: Sizes, *, cases: bool) -> list[Field]:
    """Check the patterns; `cases`: the submission has cases. An empty list asks for nothing."""
    if not patterns:
        return []
    if cases:
        text = "Files are not collected from cases yet: leave out collect or cases."
        return [Field(path="collect", message=text)]
    return [
        Field(
            path="collect" if index is None else f"collect.{index}",
            message=f"{reason[0].upper()}{reason[1:]}." if index is None else f"Refused: {reason}.",
        )
        for index, reason in check_patterns(patterns, most=sizes.max_collect_patterns)
    ][:MAX_REPORTED]


def recorded(patterns: Sequence[str], sizes: Sizes) -> dict[str, Any] | None:
    """Return the patterns with the bounds in force, as the execution keeps them; None for none."""
    if not patterns:
        return None
    return {
        "patterns": list(patterns),
        "most_files": sizes.max_collect_files,
        "most_bytes": sizes.max_collect_bytes,
    }
