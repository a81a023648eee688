"""Every part of the table, in its order. A new one is a module and a line here."""

from collections.abc import Callable, Iterator

from execapp.benchmarks import languages, measures, pages, upkeep
from execapp.benchmarks.house import House
from execapp.benchmarks.measures import Size
from execapp.benchmarks.table import Row

PARTS: tuple[Callable[[House, Size], Iterator[Row]], ...] = (
    measures.every,
    languages.every,
    upkeep.every,
    pages.every,
)
