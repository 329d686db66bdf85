"""Memory per deferred training in the triggerer."""

from __future__ import annotations

import asyncio
import gc

import psutil

from benchmarks.cpu import wait_for_requests
from benchmarks.loopback import Loopback, loopback_akkio
from benchmarks.triggering import check, connect, running, trigger

_LONG = 7200.0


def bytes_per_trigger(count: int) -> float:
    """Return the growth of the process per trigger, in bytes.

    The measurement starts after a first trigger has finished, so that imports and connections do not count, and ends
    when all triggers have polled once and sleep.

    :param count: number of triggers.
    """
    with loopback_akkio() as akkio:
        connect(akkio)
        return asyncio.run(_bytes_per_trigger(akkio, count))


async def _bytes_per_trigger(akkio: Loopback, count: int) -> float:
    async with running([trigger("ended-first")]) as tasks:
        await asyncio.gather(*tasks)
    finished = (await asyncio.to_thread(akkio.counts)).requests
    async with running([trigger("running-first", _LONG)]) as first:
        before = await _resident(akkio, finished + 1)
        async with running([trigger(f"running-{number}", _LONG) for number in range(count)]) as tasks:
            after = await _resident(akkio, finished + 1 + count)
            check([*first, *tasks])
    return (after - before) / count


async def _resident(akkio: Loopback, requests: int) -> int:
    """Return the resident bytes once the server has received a number of requests."""
    await wait_for_requests(akkio, requests)
    await asyncio.sleep(1)  # until the last responses have arrived
    gc.collect()
    return int(psutil.Process().memory_info().rss)
