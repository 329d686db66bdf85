"""CPU time per poll, compared with a loop that only sends requests."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from benchmarks.loopback import Loopback, loopback_akkio
from benchmarks.triggering import check, connect, running, trigger

_CONNECTIONS = 8


def measured_in_turns(count: int, poll_interval: float, seconds: float, rounds: int) -> list[dict[str, float]]:
    """Return the CPU microseconds per poll of the triggers and of the bare loop, alternately in one process.

    :param count: number of triggers.
    :param poll_interval: seconds between two polls of a trigger.
    :param seconds: duration of each measurement, which starts after two polls of each trigger.
    :param rounds: number of measurements of each.
    """
    with loopback_akkio() as akkio:
        connect(akkio)
        return asyncio.run(_in_turns(akkio, count, poll_interval, seconds, rounds))


def measured_alone(count: int, poll_interval: float, seconds: float) -> float:
    """Return the CPU microseconds per poll of the triggers.

    :param count: number of triggers.
    :param poll_interval: seconds between two polls of a trigger.
    :param seconds: duration of the measurement, which starts after two polls of each trigger.
    """
    with loopback_akkio() as akkio:
        connect(akkio)
        return asyncio.run(_microseconds(akkio, _triggers(akkio, count, poll_interval), seconds))


async def _in_turns(
    akkio: Loopback, count: int, poll_interval: float, seconds: float, rounds: int
) -> list[dict[str, float]]:
    sides: dict[str, Callable[[Loopback, int, float], AbstractAsyncContextManager[int]]]
    sides = {"provider": _triggers, "bare": _bare_loop}
    return [
        {name: await _microseconds(akkio, side(akkio, count, poll_interval), seconds) for name, side in sides.items()}
        for _ in range(rounds)
    ]


async def _microseconds(akkio: Loopback, side: AbstractAsyncContextManager[int], seconds: float) -> float:
    idle = await asyncio.to_thread(akkio.counts)
    async with side as count:
        await wait_for_requests(akkio, idle.requests + 2 * count)
        before, started = await asyncio.to_thread(akkio.counts), time.process_time()
        await asyncio.sleep(seconds)
        used, after = time.process_time() - started, await asyncio.to_thread(akkio.counts)
    return used / (after.requests - before.requests) * 1e6


async def wait_for_requests(akkio: Loopback, requests: int) -> None:
    """Wait until the server has received a number of requests."""
    while (await asyncio.to_thread(akkio.counts)).requests < requests:
        await asyncio.sleep(0.25)


@asynccontextmanager
async def _triggers(_: Loopback, count: int, poll_interval: float) -> AsyncIterator[int]:
    async with running([trigger(f"running-{number}", poll_interval) for number in range(count)]) as tasks:
        yield count
        check(tasks)


@asynccontextmanager
async def _bare_loop(akkio: Loopback, count: int, poll_interval: float) -> AsyncIterator[int]:
    import aiohttp

    async def poll(session: aiohttp.ClientSession, url: str) -> None:
        while True:
            async with session.get(url) as response:
                await response.json()
            await asyncio.sleep(poll_interval)

    context = ssl.create_default_context(cafile=akkio.authority)
    connector = aiohttp.TCPConnector(ssl=context, limit=_CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        urls = [f"{akkio.url}/api/v1/models/train/running-{number}/status" for number in range(count)]
        tasks = [asyncio.create_task(poll(session, url)) for url in urls]
        try:
            yield count
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
