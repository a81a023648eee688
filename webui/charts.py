"""Charts drawn on the server as SVG attributes: the CSP allows no inline style. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BAR_WIDTH = 1000.0
LEAST = 3.0  # of BAR_WIDTH: what took any time at all can be seen
PARTS = (("queued", "queued_ms"), ("set-up", "setup_ms"), ("run", "run_ms"))


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
