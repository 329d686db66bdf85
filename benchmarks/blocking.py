"""How long one event loop is held up, and how many connections it opens, while many triggers start and wait."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import asdict

from benchmarks.cpu import until_asked
from benchmarks.loopback import Loopback, loopback_akkio
from benchmarks.triggering import connect, load_triggerer, raise_of, running, trigger

_NAP = 0.005


class Watchdog:
    """Sleeps five milliseconds again and again; what it wakes up late by, the loop was held up."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Go on until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_NAP)
            self.longest = max(self.longest, time.perf_counter() - before - _NAP)

    def take(self) -> float:
        """Return the longest block in milliseconds, and begin anew."""
        longest, self.longest = self.longest, 0.0
        return longest * 1000


def idle_block(seconds: float) -> float:
    """Return by how many milliseconds an idle loop is late at most: what the machine itself adds.

    :param seconds: how long to watch.
    """
    return asyncio.run(_idle_block(seconds))


async def _idle_block(seconds: float) -> float:
    watchdog = Watchdog()
    watch = asyncio.create_task(watchdog.watch())
    await asyncio.sleep(seconds)
    await _end(watch)
    return watchdog.take()


def many_wait(count: int, poll_interval: float, seconds: float) -> dict[str, float]:
    """Return the longest blocks in milliseconds, and what the server counted.

    ``load`` is while the trigger's module is loaded, which a triggerer does on its event loop; ``start`` until all have
    asked once; ``after`` from then on.

    :param count: how many wait.
    :param poll_interval: seconds between the questions of each.
    :param seconds: how long to watch after the start.
    """
    with loopback_akkio() as akkio:
        connect(akkio)
        load_triggerer()
        return asyncio.run(_many_wait(akkio, count, poll_interval, seconds))


async def _many_wait(akkio: Loopback, count: int, poll_interval: float, seconds: float) -> dict[str, float]:
    watchdog = Watchdog()
    watch = asyncio.create_task(watchdog.watch())
    await asyncio.sleep(0.1)
    trigger("running-first")
    await asyncio.sleep(0.1)
    load = watchdog.take()
    triggers = [trigger(f"running-{number}", poll_interval) for number in range(count)]
    await asyncio.sleep(0.1)
    watchdog.take()  # that they were all made at once
    async with running(triggers) as tasks:
        await until_asked(akkio, count)
        start = watchdog.take()
        await asyncio.sleep(seconds)
        after = watchdog.take()
        counts = await asyncio.to_thread(akkio.counts)
        raise_of(tasks)
    await _end(watch)
    return {"load": load, "start": start, "after": after, **asdict(counts)}


async def _end(watch: asyncio.Task[None]) -> None:
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch
