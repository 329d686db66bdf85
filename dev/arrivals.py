"""Requests by the time of their arrival."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class Arrivals:
    """Counts requests, all of them and those of the last second.

    :param clock: gives the present, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = 0
        self.most_in_one_second = 0
        self._clock = clock
        self._last_second: deque[float] = deque()

    def count(self) -> int:
        """Count a request that arrives now, and return how many have within one second, this one included."""
        now = self._clock()
        while self._last_second and self._last_second[0] <= now - 1:
            self._last_second.popleft()
        self._last_second.append(now)
        self.total += 1
        self.most_in_one_second = max(self.most_in_one_second, len(self._last_second))
        return len(self._last_second)
