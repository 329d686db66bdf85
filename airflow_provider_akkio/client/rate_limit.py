"""How many requests an account may send: one count for the whole process, whichever client sends them."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

from airflow_provider_akkio.api.config import DEFAULT_REQUESTS_PER_SECOND, ClientConfig
from airflow_provider_akkio.api.http import Response, TransportError, retry_after_seconds

MAX_CONNECTIONS = 8
"""Most requests of an account that are under way at once, and so the most connections that it keeps."""

_SLOWEST = 1 / 32
_RECOVERS = 1 / 20
_UNTIL_ANSWERED = 0.05
"""Seconds after which to look again where all places wait for their answers."""


class RateLimiter:
    """Hands out as many places as requests may be sent in a second.

    A place is free again one second after the answer has come, when Akkio has counted the request for certain. So no
    second has more requests than allowed at Akkio's end, however long they are on their way; each answer's time on the
    way is lost for it. Of a rate above one, the whole part counts.

    A 429, or a 503 with ``Retry-After``, halves the rate for the whole account, once for all requests that were sent by
    then; each answer that is none brings a twentieth of it back. Nothing is sent before ``Retry-After`` has passed.

    A rate below Akkio's limit is a share of it, which the process before may have used until it ended. So a process
    with a share sends nothing in its first second. One with the whole limit keeps nothing for others anyway.

    :param requests_per_second: the rate.
    :param clock: gives the present, in seconds.
    :param began_at: when the process began, by the clock; default long ago.
    """

    def __init__(
        self, requests_per_second: float, clock: Callable[[], float] = time.monotonic, began_at: float = -math.inf
    ) -> None:
        self.requests_per_second = requests_per_second
        self._clock = clock
        self._share = 1.0
        self._slowed_at = -1.0
        is_share = requests_per_second < DEFAULT_REQUESTS_PER_SECOND
        self._closed_until = began_at + _spacing(requests_per_second) if is_share else -math.inf
        self._under_way = 0
        self._free_at: list[float] = []
        self._lock = threading.Lock()

    def take(self) -> float:
        """Take a place, and return 0; or return the seconds after which to try again."""
        with self._lock:
            now = self._clock()
            while self._free_at and self._free_at[0] <= now:
                heappop(self._free_at)
            if now < self._closed_until:
                return self._closed_until - now
            places = max(1, int(self.requests_per_second * self._share))
            if self._under_way < MAX_CONNECTIONS and self._under_way + len(self._free_at) < places:
                self._under_way += 1
                return 0.0
            return self._free_at[0] - now if self._free_at else _UNTIL_ANSWERED

    def give_back(self, taken_at: float, answer: Response | TransportError | None) -> None:
        """Give a place back once its request has ended.

        :param taken_at: when :meth:`take` gave it, by this rate_limiter's clock.
        :param answer: what came of the request, if it came to its end.
        """
        with self._lock:
            now = self._clock()
            self._under_way -= 1
            if isinstance(answer, Response):
                self._learn(taken_at, answer, now)
            heappush(self._free_at, now + _spacing(self.requests_per_second * self._share))

    def put_back(self) -> None:
        """Give a place back for which nothing was sent."""
        with self._lock:
            self._under_way -= 1

    def wait(self) -> float:
        """Wait in this thread until there is a place, and return when it was taken."""
        while (seconds := self.take()) > 0:
            time.sleep(seconds)
        return self._clock()

    def now(self) -> float:
        """Return the present by this rate_limiter's clock."""
        return self._clock()

    def _learn(self, taken_at: float, answer: Response, now: float) -> None:
        retry_after = retry_after_seconds(answer.retry_after, time.time())
        if answer.status == 429 or (answer.status == 503 and retry_after is not None):
            if taken_at > self._slowed_at:
                self._share = max(self._share / 2, _SLOWEST)
                self._slowed_at = now
            self._closed_until = max(self._closed_until, now + (retry_after or 0.0))
        else:
            self._share = min(1.0, self._share + _RECOVERS)


def _spacing(rate: float) -> float:
    """Return the seconds after a request's end for which its place is taken."""
    return max(1.0, 1 / rate)


def _process_began_at() -> float:
    """Return when this process began, by ``time.monotonic`` and never too early: now, where there is no ``proc(5)``."""
    try:
        behind_name = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    ticks = int(behind_name[19]) + 1  # field 22, rounded down
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - max(0.0, age)


_allowances: dict[tuple[str, str], RateLimiter] = {}


def get_rate_limiter(config: ClientConfig) -> RateLimiter:
    """Return the one rate_limiter of an account; the rate is that of the connection which asked last."""
    owner = (config.base_url.origin, config.api_key)
    # No lock, which a thread might hold while the process forks: to set a default is one step for a dictionary.
    rate_limiter = _allowances.get(owner) or _allowances.setdefault(
        owner, RateLimiter(config.requests_per_second, began_at=_process_began_at())
    )
    rate_limiter.requests_per_second = config.requests_per_second
    return rate_limiter


os.register_at_fork(after_in_child=_allowances.clear)


class RequestQueue:
    """Lets requests through one at a time as the rate_limiter has places, the one that has been wanted longest first.

    :param rate_limiter: the account's.
    """

    def __init__(self, rate_limiter: RateLimiter) -> None:
        self.rate_limiter = rate_limiter
        self._queue: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, due_at: float) -> float:
        """Wait for a place, and return when it was taken, by the rate_limiter's clock.

        :param due_at: see :class:`~airflow_provider_akkio.api.http.Request`.
        """
        if self._queue or self.rate_limiter.take() > 0:
            turn = asyncio.get_running_loop().create_future()
            heappush(self._queue, (due_at, next(self._numbers), turn))
            self._let_through()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.rate_limiter.put_back()
                    self._let_through()
                raise
        return self.rate_limiter.now()

    def let_next(self) -> None:
        """Look whether the next one may go, after a place was given back."""
        if self._queue:
            self._let_through()

    def _let_through(self) -> None:
        while self._queue:
            turn = self._queue[0][2]
            if not turn.done():
                seconds = self.rate_limiter.take()
                if seconds > 0:
                    if self._timer is None:
                        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_time)
                    return
                turn.set_result(None)
            heappop(self._queue)

    def _on_time(self) -> None:
        self._timer = None
        self._let_through()
