"""How many warm sandboxes recent demand asks for, and who gets them when memory is short."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

HALF_LIFE = 30.0  # seconds after which an arrival counts half


@dataclass(kw_only=True)
class Demand:
    """Arrivals of one template in one mode, each counting less the older it is.

    Moments are in seconds of any clock that never steps back.
    """

    refill_seconds: float = 1.0  # what starting one takes, smoothed
    _weight: float = 0.0
    _at: float = 0.0

    def arrived(self, now: float) -> None:
        """One execution asked for a warm sandbox."""
        self._weight = self._weighed(now) + 1
        self._at = now

    def refilled(self, seconds: float) -> None:
        """One was started, and took this long."""
        self.refill_seconds += (seconds - self.refill_seconds) / 4

    def rate(self, now: float) -> float:
        """Arrivals a second."""
        return self._weighed(now) * math.log(2) / HALF_LIFE

    def desired(self, now: float, most: int) -> int:
        """How many cover the arrivals while one is started, nineteen times in twenty; at least 1.

        Arrivals scatter as a Poisson distribution does: by the root of their mean.
        """
        mean = self.rate(now) * self.refill_seconds
        return min(most, max(1, math.ceil(mean + 2 * math.sqrt(mean))))

    def _weighed(self, now: float) -> float:
        return self._weight * math.pow(0.5, (now - self._at) / HALF_LIFE)


@dataclass(frozen=True, kw_only=True)
class WarmRequest:
    """What one group would like: how many, how large each, and whether it can wait."""

    count: int
    each_bytes: int
    spare: bool = False


def allocate[K](
    requests: Mapping[K, WarmRequest], budget: int, most: int | None = None
) -> dict[K, int]:
    """How many each may have within `budget` bytes: everyone's first before anyone's second.

    Spares come after the others of the same round. `most`: how many there may be in all.
    """
    granted = dict.fromkeys(requests, 0)
    order = sorted(requests, key=lambda key: requests[key].spare)
    for nth in range(max((request.count for request in requests.values()), default=0)):
        for key in order:
            if most is not None and sum(granted.values()) >= most:
                return granted
            if nth < requests[key].count and requests[key].each_bytes <= budget:
                granted[key] += 1
                budget -= requests[key].each_bytes
    return granted
