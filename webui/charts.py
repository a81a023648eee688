"""Numbers as SVG geometry. Pure: numbers in, attribute values out; colours are the stylesheet's."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 240
HEIGHT = 44
TOP = 4  # room for the stroke


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through its points, and the area below it. Empty strings when there is nothing."""

    points: str
    area: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One part of a bar, from `x`, `width` wide, out of 1000."""

    name: str
    value: float
    x: float
    width: float


def line(
    values: Sequence[float | None], *, width: int = WIDTH, height: int = HEIGHT, floor: float = 0.0
) -> Line:
    """Draw values from left to right; None takes over the value before it.

    `floor` is the value at the bottom. Fewer than two values draw nothing.
    """
    known = _carried(values)
    if len(known) < 2:
        return Line(points="", area="", width=width, height=height)
    top = max(max(known) - floor, 1e-9)
    step = width / (len(known) - 1)
    span = height - TOP
    pairs = [
        f"{index * step:.1f},{height - span * max(0.0, value - floor) / top:.1f}"
        for index, value in enumerate(known)
    ]
    points = " ".join(pairs)
    area = f"0,{height} {points} {width},{height}"
    return Line(points=points, area=area, width=width, height=height)


def segments(parts: Sequence[tuple[str, float]]) -> list[Segment]:
    """Lay parts side by side over 1000; one that is there at all stays visible."""
    shown = [(name, value) for name, value in parts if value > 0]
    total = sum(value for _, value in shown)
    if not total:
        return []
    widths = [max(4.0, 1000 * value / total) for _, value in shown]
    scale = 1000 / sum(widths)
    placed: list[Segment] = []
    x = 0.0
    for (name, value), width in zip(shown, widths, strict=True):
        placed.append(
            Segment(name=name, value=value, x=round(x, 1), width=round(width * scale, 1))
        )
        x += width * scale
    return placed


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which `share` of the ordered values lie; None without values."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _carried(values: Sequence[float | None]) -> list[float]:
    carried: list[float] = []
    for value in values:
        if value is not None:
            carried.append(value)
        elif carried:
            carried.append(carried[-1])
    return carried
