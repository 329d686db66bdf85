"""The requests that an account's trainings send in a second, counted where they arrive."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict

from benchmarks.loopback import Loopback, loopback_akkio
from benchmarks.triggering import connect, running, trigger

_LIMIT = 5


def many_want_their_end(count: int, seconds: float) -> dict[str, float]:
    """Return what a server counted that refuses more than five requests in a second.

    All trainings have ended already, and so each wants two answers at once, its status and its result.

    :param count: how many trainings.
    :param seconds: how long to let them ask.
    """
    with loopback_akkio(most_per_second=_LIMIT) as akkio:
        connect(akkio, requests_per_second=_LIMIT)
        return asyncio.run(_many_want_their_end(akkio, count, seconds))


async def _many_want_their_end(akkio: Loopback, count: int, seconds: float) -> dict[str, float]:
    hour_ago = time.time() - 3600
    triggers = [trigger(f"ended-{number}", submitted_at=hour_ago, duration=600) for number in range(count)]
    async with running(triggers):
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 15))
            counts = await asyncio.to_thread(akkio.counts)
            print(f"  rate: {counts.requests} requests so far", file=sys.stderr, flush=True)
    return asdict(counts)
