"""How long many triggers block one event loop, and how many connections they open."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import asdict

from benchmarks.cpu import wait_for_requests
from benchmarks.loopback import Loopback, loopback_akkio
from benchmarks.triggering import check, connect, load_triggerer, running, trigger

_INTERVAL = 0.005


class Watchdog:
    """Sleeps for five milliseconds at a time; the loop was blocked for as long as it wakes up late."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_INTERVAL)
            self.longest = max(self.longest, time.perf_counter() - before - _INTERVAL)

    def reset(self) -> float:
        """Return the longest block in milliseconds since the last call."""
        longest, self.longest = self.longest, 0.0
        return longest * 1000


def idle_block(seconds: float) -> float:
    """Return the longest block of an idle loop in milliseconds: the noise of the machine.

    :param seconds: duration of the measurement.
    """
    return asyncio.run(_idle_block(seconds))


async def _idle_block(seconds: float) -> float:
    watchdog = Watchdog()
    task = asyncio.create_task(watchdog.watch())
    await asyncio.sleep(seconds)
    await _cancel(task)
    return watchdog.reset()


def many_triggers(count: int, poll_interval: float, seconds: float) -> dict[str, float]:
    """Return the longest blocks in milliseconds and the server's counts.

    ``load`` is the import of the trigger's module, which a triggerer does on its event loop; ``start`` lasts until
    every trigger has polled once; ``after`` is the rest.

    :param count: number of triggers.
    :param poll_interval: seconds between two polls of a trigger.
    :param seconds: duration of the measurement after the start.
    """
    with loopback_akkio() as akkio:
        connect(akkio)
        load_triggerer()
        return asyncio.run(_many_triggers(akkio, count, poll_interval, seconds))


async def _many_triggers(akkio: Loopback, count: int, poll_interval: float, seconds: float) -> dict[str, float]:
    watchdog = Watchdog()
    task = asyncio.create_task(watchdog.watch())
    await asyncio.sleep(0.1)
    trigger("running-first")
    await asyncio.sleep(0.1)
    load = watchdog.reset()
    triggers = [trigger(f"running-{number}", poll_interval) for number in range(count)]
    await asyncio.sleep(0.1)
    watchdog.reset()  # a triggerer does not create all triggers at once
    async with running(triggers) as tasks:
        await wait_for_requests(akkio, count)
        start = watchdog.reset()
        await asyncio.sleep(seconds)
        after = watchdog.reset()
        counts = await asyncio.to_thread(akkio.counts)
        check(tasks)
    await _cancel(task)
    return {"load": load, "start": start, "after": after, **asdict(counts)}


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
