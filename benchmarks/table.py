"""Samples as rows, and rows as a table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measure. `must` is a text; `holds` says whether it was reached, None without a must."""

    measure: str
    ours: str
    other: str
    ratio: str
    must: str
    holds: bool | None


def faster(
    measure: str, ours: Sequence[float], other: Sequence[float], *, least: float, unit: str = "ms"
) -> Row:
    """Return a row with the other divided by ours, at the median and at p95."""
    ratios = [theirs / mine for mine, theirs in zip(ours, other, strict=True)]
    middle, poor = statistics.median(ratios), quantile(ratios, 0.05)
    return _row(measure, ours, other, (middle, poor), f"≥ {least:g}×", middle >= least, unit)


def share(
    measure: str, ours: Sequence[float], other: Sequence[float], *, most: float, unit: str = "ms"
) -> Row:
    """Return a row with ours divided by the other, at the median and at p95."""
    ratios = [mine / theirs for mine, theirs in zip(ours, other, strict=True)]
    middle, poor = statistics.median(ratios), quantile(ratios, 0.95)
    return _row(measure, ours, other, (middle, poor), f"≤ {most:g}×", middle <= most, unit)


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which this share of the values is; with few values, the nearest."""
    ordered = sorted(values)
    return ordered[round(part * (len(ordered) - 1))]


def _row(
    measure: str,
    ours: Sequence[float],
    other: Sequence[float],
    ratios: tuple[float, float],
    must: str,
    holds: bool,
    unit: str,
) -> Row:
    return Row(
        measure=measure,
        ours=_both_ends(ours, unit),
        other=_both_ends(other, unit),
        ratio=f"{ratios[0]:.2f} / {ratios[1]:.2f}",
        must=must,
        holds=holds,
    )


def _both_ends(values: Sequence[float], unit: str) -> str:
    """Return median and p95 as text, or a single figure as it is."""
    middle = f"{statistics.median(values):.1f}"
    if len(values) == 1:
        return f"{middle} {unit}"
    return f"{middle} / {quantile(values, 0.95):.1f} {unit}"


def renewed(page: str, rows: Sequence[Row]) -> str:
    """Return a page with these rows in the place of those of the same measures; new ones follow.

    ValueError if the page has none of these measures.
    """
    new = {
        row.measure: line for row, line in zip(rows, markdown(rows).splitlines()[2:], strict=True)
    }
    lines = page.splitlines()
    places = {line[2:].partition(" | ")[0]: number for number, line in enumerate(lines)}
    known = [measure for measure in new if measure in places]
    if not known:
        raise ValueError("the page has no row of these measures")
    for measure in known:
        lines[places[measure]] = new.pop(measure)
    last = max(places[measure] for measure in known) + 1
    return "\n".join((*lines[:last], *new.values(), *lines[last:])) + "\n"


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| median / p95 of | ours | beside it | ratio | must reach | reached |",
        "|---|---|---|---|---|---|",
    ]
    words = {True: "yes", False: "**no**", None: "–"}
    lines += [
        f"| {row.measure} | {row.ours} | {row.other} | {row.ratio} | {row.must} "
        f"| {words[row.holds]} |"
        for row in rows
    ]
    return "\n".join(lines)
