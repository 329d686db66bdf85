"""Requests per second of one account, counted where they arrive."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict

from benchmarks.loopback import Loopback, loopback_akkio
from benchmarks.triggering import connect, running, trigger

_LIMIT = 5


def many_finished(count: int, seconds: float) -> dict[str, float]:
    """Return the counts of a server that rejects more than five requests per second.

    All trainings have finished already, so that every trigger polls as soon as the rate limiter allows it.

    :param count: number of trainings.
    :param seconds: duration of the measurement.
    """
    with loopback_akkio(max_per_second=_LIMIT) as akkio:
        connect(akkio, requests_per_second=_LIMIT)
        return asyncio.run(_many_finished(akkio, count, seconds))


async def _many_finished(akkio: Loopback, count: int, seconds: float) -> dict[str, float]:
    hour_ago = time.time() - 3600
    triggers = [trigger(f"ended-{number}", submitted_at=hour_ago, duration=600) for number in range(count)]
    async with running(triggers):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 15))
            counts = await asyncio.to_thread(akkio.counts)
            print(f"  rate: {counts.requests} requests so far", file=sys.stderr, flush=True)
    return asdict(counts)
