"""Every part of the table by its name, in its order. A new part is a module and a line here."""

from collections.abc import Callable, Iterator

from benchmarks import (
    batches,
    cases,
    costs,
    languages,
    measures,
    pages,
    requests,
    sustained,
    upkeep,
    waiting,
)
from benchmarks.installation import Installation
from benchmarks.measures import Size
from benchmarks.table import Row

PARTS: dict[str, Callable[[Installation, Size], Iterator[Row]]] = {
    # First, because bare tools later write caches into the tree, which then fails a verification.
    "upkeep": upkeep.every,
    "measures": measures.every,
    "languages": languages.every,
    "pages": pages.every,
    "requests": requests.every,
    "batches": batches.every,
    "cases": cases.every,
    "waiting": waiting.every,
    "sustained": sustained.every,
    "costs": costs.every,
}
