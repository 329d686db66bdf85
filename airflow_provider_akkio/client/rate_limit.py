"""Limit the requests of a process to Akkio: one rate limiter per account, used by both clients."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from airflow_provider_akkio.api.config import DEFAULT_REQUESTS_PER_SECOND, ClientConfig
from airflow_provider_akkio.api.http import Response, TransportError, retry_after_seconds

MAX_CONNECTIONS = 8
"""Maximum number of concurrent requests per account, and so of connections."""

_MIN_RATE_FACTOR = 1 / 32
_RATE_RECOVERY = 1 / 20
_RETRY_WHILE_BUSY = 0.05
"""Seconds between two checks while all permits belong to requests without a response."""


class RateLimiter:
    """Grant as many permits as the account may send requests per second; safe for use by several threads.

    A permit becomes available again one second after its response has arrived: Akkio has then certainly counted the
    request, so that no second at Akkio's end contains more requests than allowed, however long they travel.

    HTTP 429, or 503 with ``Retry-After``, halves the rate, once for all requests that had been sent by then; every
    other response restores 5 % of it. Nothing is sent before ``Retry-After`` has passed.

    A rate below Akkio's limit is a share, which a previous process may have used until it stopped. A limiter with a
    share therefore grants its first permit one second after its creation (at less than one request per second: after
    the time between two requests).

    :param requests_per_second: the rate; above one, its integer part counts.
    :param clock: returns the current time in seconds.
    """

    def __init__(self, requests_per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests_per_second = requests_per_second
        self._clock = clock
        self._rate_factor = 1.0
        is_share = requests_per_second < DEFAULT_REQUESTS_PER_SECOND
        self._closed_until = clock() + (_spacing(requests_per_second) if is_share else 0.0)
        self._throttled_at = -1.0
        self._in_flight = 0
        self._available_at: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the current time of this limiter's clock."""
        return self._clock()

    def try_acquire(self) -> float:
        """Acquire a permit and return 0, or return the seconds after which to try again."""
        with self._lock:
            now = self._clock()
            while self._available_at and self._available_at[0] <= now:
                heappop(self._available_at)
            if now < self._closed_until:
                return self._closed_until - now
            permits = max(1, int(self.requests_per_second * self._rate_factor))
            if self._in_flight < MAX_CONNECTIONS and self._in_flight + len(self._available_at) < permits:
                self._in_flight += 1
                return 0.0
            return self._available_at[0] - now if self._available_at else _RETRY_WHILE_BUSY

    def acquire(self) -> float:
        """Block this thread until a permit is available, and return the time at which it was acquired."""
        while (seconds := self.try_acquire()) > 0:
            time.sleep(seconds)
        return self._clock()

    def release(self, acquired_at: float, response: Response | TransportError | None) -> None:
        """Release the permit of a request that has ended.

        :param acquired_at: time at which the permit was acquired, by this limiter's clock.
        :param response: the outcome; ``None`` if the request was cancelled.
        """
        with self._lock:
            now = self._clock()
            self._in_flight -= 1
            if isinstance(response, Response):
                self._adjust_rate(acquired_at, response, now)
            heappush(self._available_at, now + _spacing(self.requests_per_second * self._rate_factor))

    def cancel(self) -> None:
        """Release a permit with which nothing was sent; it is available immediately."""
        with self._lock:
            self._in_flight -= 1

    def _adjust_rate(self, acquired_at: float, response: Response, now: float) -> None:
        retry_after = retry_after_seconds(response.retry_after, time.time())
        if response.status == 429 or (response.status == 503 and retry_after is not None):
            if acquired_at > self._throttled_at:
                self._rate_factor = max(self._rate_factor / 2, _MIN_RATE_FACTOR)
                self._throttled_at = now
            self._closed_until = max(self._closed_until, now + (retry_after or 0.0))
        else:
            self._rate_factor = min(1.0, self._rate_factor + _RATE_RECOVERY)


def _spacing(rate: float) -> float:
    """Return the seconds for which a permit stays unavailable after its request."""
    return max(1.0, 1 / rate)


_rate_limiters: dict[tuple[int, str, str], RateLimiter] = {}


def get_rate_limiter(config: ClientConfig) -> RateLimiter:
    """Return the rate limiter of an account in this process; the most recent connection sets its rate."""
    # The process ID gives a forked child its own limiter: a thread of the parent may have held the lock of the copy.
    key = (os.getpid(), config.base_url.origin, config.api_key)
    # setdefault is atomic, so that threads need no lock here.
    rate_limiter = _rate_limiters.get(key) or _rate_limiters.setdefault(key, RateLimiter(config.requests_per_second))
    rate_limiter.requests_per_second = config.requests_per_second
    return rate_limiter


class RequestQueue:
    """Order the requests of one event loop by ``due_at`` while they wait for a rate limiter.

    :param rate_limiter: the account's limiter.
    """

    def __init__(self, rate_limiter: RateLimiter) -> None:
        self.rate_limiter = rate_limiter
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, due_at: float) -> float:
        """Wait for a permit, and return the time at which it was acquired, by the limiter's clock.

        :param due_at: see :class:`~airflow_provider_akkio.api.http.Request`.
        """
        if self._waiting or self.rate_limiter.try_acquire() > 0:
            permit = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (due_at, next(self._numbers), permit))
            self.wake_next()
            try:
                await permit
            except asyncio.CancelledError:
                if permit.done() and not permit.cancelled():  # granted, but the task was cancelled before it resumed
                    self.rate_limiter.cancel()
                    self.wake_next()
                raise
        return self.rate_limiter.now()

    def wake_next(self) -> None:
        """Grant available permits to the waiting requests; call it after each release."""
        while self._waiting:
            permit = self._waiting[0][2]
            if not permit.done():
                seconds = self.rate_limiter.try_acquire()
                if seconds > 0:
                    if self._timer is None:
                        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)
                    return
                permit.set_result(None)
            heappop(self._waiting)

    def _on_timer(self) -> None:
        self._timer = None
        self.wake_next()
