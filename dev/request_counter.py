"""Count requests over the last second."""

from __future__ import annotations

import time
from collections import deque


class RequestCounter:
    """Counts the requests that arrive."""

    def __init__(self) -> None:
        self.total = 0
        self.max_per_second = 0
        self._last_second: deque[float] = deque()

    def count(self) -> int:
        """Count one request and return the number within the last second, including this one."""
        now = time.monotonic()
        while self._last_second and self._last_second[0] <= now - 1:
            self._last_second.popleft()
        self._last_second.append(now)
        self.total += 1
        self.max_per_second = max(self.max_per_second, len(self._last_second))
        return len(self._last_second)
