"""Compute the number of warm sandboxes per group, and share a budget of memory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

HALF_LIFE = 30.0  # seconds until the weight of an arrival is halved


@dataclass(kw_only=True)
class Demand:
    """Arrivals of one template in one mode; the weight of an arrival halves every 30 seconds.

    Times are in seconds of a monotonic clock.
    """

    refill_seconds: float = 1.0  # duration of a start, smoothed
    _weight: float = 0.0
    _at: float = 0.0

    def arrived(self, now: float) -> None:
        """Count an execution that needs a warm sandbox."""
        self._weight = self._weighed(now) + 1
        self._at = now

    def refilled(self, seconds: float) -> None:
        """Note the duration of the start of a sandbox."""
        self.refill_seconds += (seconds - self.refill_seconds) / 4

    def rate(self, now: float) -> float:
        """Return the arrivals per second."""
        return self._weighed(now) * math.log(2) / HALF_LIFE

    def desired(self, now: float, most: int) -> int:
        """Return the number that covers the arrivals during one start in 95 %; from 1 to `most`.

        Arrivals follow a Poisson distribution: the standard deviation is the root of the mean.
        """
        mean = self.rate(now) * self.refill_seconds
        return min(most, max(1, math.ceil(mean + 2 * math.sqrt(mean))))

    def _weighed(self, now: float) -> float:
        return self._weight * math.pow(0.5, (now - self._at) / HALF_LIFE)


@dataclass(frozen=True, kw_only=True)
class WarmRequest:
    """The request of one group: number, bytes of each sandbox, and whether it is a spare."""

    count: int
    each_bytes: int
    spare: bool = False


def allocate[K](
    requests: Mapping[K, WarmRequest], budget: int, most: int | None = None
) -> dict[K, int]:
    """Return the number for each group within `budget` bytes, one per group in each round.

    In each round, spares come last. `most` limits the total of all groups.
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
