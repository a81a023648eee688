"""Every part of the table, in its order. A new one is a module and a line here."""

from collections.abc import Callable, Iterator

from benchmarks import languages, measures, pages, requests, upkeep, waiting
from benchmarks.installation import Installation
from benchmarks.measures import Size
from benchmarks.table import Row

PARTS: tuple[Callable[[Installation, Size], Iterator[Row]], ...] = (
    # First: bare tools write caches into the tree that they run on, which is whole no more then.
    upkeep.every,
    measures.every,
    languages.every,
    pages.every,
    requests.every,
    waiting.every,
)
