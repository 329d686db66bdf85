"""The queue of an event loop's requests before an account's allowance."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count

from airflow_provider_akkio.client.allowance import Allowance


class Turnstile:
    """Lets requests through one at a time as the allowance has places, the one that has been wanted longest first.

    :param allowance: the account's.
    """

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self._queue: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, wanted_at: float) -> float:
        """Wait for a place, and return when it was taken, by the allowance's clock.

        :param wanted_at: see :class:`~airflow_provider_akkio.api.messages.Request`.
        """
        if self._queue or self.allowance.take() > 0:
            turn = asyncio.get_running_loop().create_future()
            heappush(self._queue, (wanted_at, next(self._numbers), turn))
            self._let_through()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.allowance.put_back()
                    self._let_through()
                raise
        return self.allowance.now()

    def let_next(self) -> None:
        """Look whether the next one may go, after a place was given back."""
        if self._queue:
            self._let_through()

    def _let_through(self) -> None:
        while self._queue:
            turn = self._queue[0][2]
            if not turn.done():
                seconds = self.allowance.take()
                if seconds > 0:
                    if self._timer is None:
                        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_time)
                    return
                turn.set_result(None)
            heappop(self._queue)

    def _on_time(self) -> None:
        self._timer = None
        self._let_through()
