"""Charts as values of SVG attributes, because the CSP allows no inline style. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BAR_WIDTH = 1000.0
LEAST = 3.0  # of BAR_WIDTH, so that a short part is visible
PARTS = (
    ("queued", "queued_ms"),
    ("set-up", "setup_ms"),
    ("run", "run_ms"),
    ("collect", "collect_ms"),
)


@dataclass(frozen=True, kw_only=True)
class Sparkline:
    """Points of a line and of the area below it, in a box of `width` by `height`."""

    line: str
    area: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of the timing bar, with its place in BAR_WIDTH."""

    name: str
    kind: str  # the CSS class is `bar-<kind>`
    ms: float
    x: float
    width: float


def sparkline(values: Sequence[float], *, width: int = 240, height: int = 44) -> Sparkline:
    """Return a line over `values` from 0 to their maximum; flat at the bottom if all are 0."""
    points = list(values) if len(values) > 1 else [*values, *values] or [0.0, 0.0]
    top = max(points) or 1.0
    step = width / (len(points) - 1)
    drawn = " ".join(
        f"{index * step:.1f},{height - 1 - (value / top) * (height - 4):.1f}"
        for index, value in enumerate(points)
    )
    area = f"0,{height} {drawn} {width},{height}"
    return Sparkline(line=drawn, area=area, width=width, height=height)


def timing_bar(timings: Mapping[str, Any]) -> tuple[Segment, ...]:
    """Return the parts of the time: queued, set-up, run, collect, and the rest as recording."""
    total = timings.get("total_ms")
    if not total:
        return ()
    spent = [(name, float(timings.get(key) or 0.0)) for name, key in PARTS]
    spent.append(("record", max(0.0, float(total) - sum(ms for _, ms in spent))))
    whole = sum(ms for _, ms in spent)
    wide = [max(LEAST, ms / whole * BAR_WIDTH) if ms > 0 else 0.0 for _, ms in spent]
    scale = BAR_WIDTH / sum(wide)
    segments, x = [], 0.0
    for (name, ms), width in zip(spent, wide, strict=True):
        kind = name.replace("-", "")
        shown = round(width * scale, 2)
        segments.append(Segment(name=name, kind=kind, ms=ms, x=round(x, 2), width=shown))
        x += shown
    return tuple(segments)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A part of a column; `kind` selects its colour."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A mark on an axis: its place and its text."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Columns or lines in a box, with an axis of values and one of times."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    lines: tuple[tuple[str, str], ...]  # kind, points; a gap in the values splits a line
    values: tuple[Tick, ...]
    times: tuple[Tick, ...]


WIDE, HIGH, GAP = 600, 140, 1.5
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def columns(
    parts: Sequence[tuple[str, Sequence[float]]],
    times: Sequence[str],
    *,
    unit: str = "",
    limit: float | None = None,
) -> Chart:
    """Return a column for each of `times`, in which `parts` (kind, values) are stacked.

    `limit` is drawn as a line across the chart.
    """
    totals = [sum(values) for values in zip(*(values for _, values in parts), strict=True)]
    top = nice(max([*totals, limit or 0.0], default=0.0))
    step = WIDE / max(1, len(times))
    bars: list[Bar] = []
    for index in range(len(times)):
        ground = float(HIGH)
        for kind, values in parts:
            height = values[index] / top * HIGH
            if height > 0:
                ground -= height
                bars.append(
                    Bar(
                        kind=kind,
                        x=round(index * step + GAP / 2, 2),
                        y=round(ground, 2),
                        width=round(step - GAP, 2),
                        height=round(height, 2),
                    )
                )
    lines = []
    if limit is not None:
        level = f"{HIGH - limit / top * HIGH:.1f}"
        lines.append(("limit", f"0,{level} {WIDE},{level}"))
    return _chart(top, times, unit, bars=tuple(bars), lines=tuple(lines))


def curves(
    parts: Sequence[tuple[str, Sequence[float | None]]], times: Sequence[str], *, unit: str = ""
) -> Chart:
    """Return a line for each of `parts` (kind, values). None is a gap."""
    known = [value for _, values in parts for value in values if value is not None]
    top = nice(max(known, default=0.0))
    step = WIDE / max(1, len(times))
    lines = [
        (kind, " ".join(f"{(x + 0.5) * step:.1f},{HIGH - y / top * HIGH:.1f}" for x, y in piece))
        for kind, values in parts
        for piece in _pieces(values)
    ]
    return _chart(top, times, unit, lines=tuple(lines))


def nice(value: float) -> float:
    """Return a round number at or above `value` as the end of an axis; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in STEPS if step * power >= value * (1 - 1e-9))


def _pieces(values: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """Split the values at their gaps; a single value becomes a short line."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((float(index), value))
    return [_wide(*piece[0]) if len(piece) == 1 else piece for piece in pieces if piece]


def _wide(x: float, y: float) -> list[tuple[float, float]]:
    return [(x - 0.4, y), (x + 0.4, y)]


def _chart(top: float, times: Sequence[str], unit: str, **drawn: Any) -> Chart:
    step = WIDE / max(1, len(times))
    every = max(1, len(times) // 6)
    marks = [
        Tick(at=round(index * step + step / 2, 1), text=text)
        for index, text in enumerate(times)
        if index % every == every // 2
    ]
    # Counts have no unit and are whole, so the axis shows only whole numbers.
    values = tuple(
        Tick(at=round(HIGH - share * HIGH, 1), text=f"{top * share:g}{unit}")
        for share in (0.5, 1)
        if unit or top * share % 1 == 0
    )
    return Chart(
        width=WIDE,
        height=HIGH,
        bars=drawn.get("bars", ()),
        lines=drawn.get("lines", ()),
        values=values,
        times=tuple(marks),
    )
