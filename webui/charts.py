"""Charts drawn on the server as SVG attributes: the CSP allows no inline style. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sparkline:
    """Points of a line and of the area below it, in a box of `width` by `height`."""

    line: str
    area: str
    width: int
    height: int


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
