"""The memory that one waiting trigger takes."""

from __future__ import annotations

import asyncio
import gc

import psutil

from benchmarks.loopback import Loopback, loopback_akkio
from benchmarks.triggering import connect, raise_of, running, trigger

_LONG = 7200.0


def bytes_per_trigger(count: int) -> float:
    """Return by how many bytes the process grows for each trigger that waits.

    It is measured from one trigger that has been through a whole wait, so that nothing is loaded or connected any
    more, until all have got their first answer and pause.

    :param count: how many wait.
    """
    with loopback_akkio() as akkio:
        connect(akkio)
        return asyncio.run(_bytes_per_trigger(akkio, count))


async def _bytes_per_trigger(akkio: Loopback, count: int) -> float:
    async with running([trigger("ended-first")]) as tasks:
        await asyncio.gather(*tasks)
    async with running([trigger("running-first", _LONG)]) as first:
        before = await _resident(akkio, 3)
        async with running([trigger(f"running-{number}", _LONG) for number in range(count)]) as tasks:
            after = await _resident(akkio, 3 + count)
            raise_of([*first, *tasks])
    return (after - before) / count


async def _resident(akkio: Loopback, requests: int) -> int:
    """Return the resident bytes, once a number of requests have been answered."""
    while (await asyncio.to_thread(akkio.counts)).requests < requests:
        await asyncio.sleep(0.25)
    await asyncio.sleep(1)  # the last answers are on their way
    gc.collect()
    return int(psutil.Process().memory_info().rss)
