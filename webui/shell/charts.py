"""Charts drawn on the server as SVG attributes: the CSP allows no inline style. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BAR_WIDTH = 1000.0
LEAST = 3.0  # of BAR_WIDTH: what took any time at all can be seen
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
    """A part of the timing bar: where it lies in BAR_WIDTH, and what it stands for."""

    name: str
    kind: str  # the class `bar-<kind>` colours it
    ms: float
    x: float
    width: float


def sparkline(values: Sequence[float], *, width: int = 240, height: int = 44) -> Sparkline:
    """A line over `values` from 0 to their highest; flat on the ground when all are 0."""
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
    """Where the time went: queued, set-up, run, and the rest, which is recording the result."""
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
    """A piece of a column: `kind` colours it."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A mark on an axis: where it is, and what it says."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Columns or lines in a box, with an axis of values and one of times."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    lines: tuple[tuple[str, str], ...]  # kind, points; a gap in the values parts a line
    values: tuple[Tick, ...]
    times: tuple[Tick, ...]


WIDE, HIGH, GAP = 600, 140, 1.5
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def columns(
    parts: Sequence[tuple[str, Sequence[float]]], times: Sequence[str], *, unit: str = ""
) -> Chart:
    """Columns of `parts` (kind, values) stacked upon each other, one for each of `times`."""
    totals = [sum(values) for values in zip(*(values for _, values in parts), strict=True)]
    top = nice(max(totals, default=0.0))
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
    return _chart(top, times, unit, bars=tuple(bars))


def curves(
    parts: Sequence[tuple[str, Sequence[float | None]]], times: Sequence[str], *, unit: str = ""
) -> Chart:
    """A line for each of `parts` (kind, values). None is a gap."""
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
    """The round number at or above `value` that an axis can end with; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in STEPS if step * power >= value * (1 - 1e-9))


def _pieces(values: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """The values without their gaps; one that stands alone is as wide as its place."""
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
    # There is no half of an execution: without a unit, only whole numbers stand on the axis.
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
