"""How late the ends of many trainings are seen that share one rate_limiter, in virtual time.

Nothing tells when they end. The best possible mean delay follows from that alone:

    An end that nothing foretells is found by the next question about that training. n trainings and B questions per
    second give each an interval of n/B on average; equal intervals give the least mean delay, half an interval, since
    a longer one holds more ends, and each of them waits longer (convexity). So the mean delay is at least n / (2 B).
    Each training also takes one request for its result: B = 5 - (ends per second).

Where a steady number is in flight, n is that number, since nobody knows which of them have ended. In a batch it falls;
n / (2 B) is then averaged over the ends, with n the trainings that still run at each, and B = 5 - (trainings / seconds
of the whole run). That leaves out those that have ended and are not found yet, so the true best is a little worse.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_akkio.api.http import Request, Response
    from airflow_provider_akkio.client.asynchronous import SessionPool

REQUESTS_PER_SECOND = 5
MEAN_SECONDS = 900.0
BATCH_SECONDS = 1800.0
_DAY = 86400.0


@dataclass(slots=True)
class _Simulation:
    """The trainings of one account, whose ends are drawn at their submission.

    :param shared: what the account's clients share.
    :param seconds: draws how long a training takes.
    """

    shared: SessionPool
    seconds: Callable[[], float]
    clock: Callable[[], float] = field(default_factory=lambda: asyncio.get_running_loop().time)
    found: list[tuple[float, float]] = field(default_factory=list)

    async def one(self, number: int) -> None:
        """Wait for one training, and note when it ended and when that was seen."""
        from airflow_provider_akkio.api.types import SubmittedTraining
        from benchmarks.virtual_time import RESULT, RUNNING, SUCCEEDED, VirtualClient

        submitted_at = self.clock()
        ends_at = submitted_at + self.seconds()

        def answer(request: Request) -> Response:
            if request.url.endswith("/result"):
                return RESULT
            return SUCCEEDED if self.clock() >= ends_at else RUNNING

        client = VirtualClient(self.shared, answer)
        self.shared.users += 1
        training = SubmittedTraining(f"T{number}", submitted_at)
        await client.run(client.api.poll_until_done(training, submitted_at + _DAY))
        self.shared.users -= 1
        self.found.append((ends_at, self.clock()))

    async def one_after_the_other(self, number: int) -> None:
        """Submit a new training whenever the end of one has been seen."""
        while True:
            await self.one(number)


def steady(count: int, seconds: float) -> dict[str, float]:
    """Return the mean delay with a steady number in flight, its bound, and the number of ends.

    The ends are memoryless, 900 s after the submission on average; a training whose end was seen is followed by a new
    one at once.

    :param count: how many are in flight.
    :param seconds: virtual seconds within which ends count, after half as many in which they do not.
    """
    from benchmarks.virtual_time import run_in_virtual_time

    logging.disable(logging.INFO)
    return run_in_virtual_time(_steady(count, seconds))


async def _steady(count: int, seconds: float) -> dict[str, float]:
    from benchmarks.virtual_time import virtual_session

    draw = random.Random(count)
    simulation = _Simulation(virtual_session(REQUESTS_PER_SECOND), lambda: draw.expovariate(1 / MEAN_SECONDS))
    tasks = [asyncio.create_task(simulation.one_after_the_other(number)) for number in range(count)]
    await asyncio.sleep(seconds / 2)
    simulation.found.clear()
    for tenth in range(1, 11):
        await asyncio.sleep(seconds / 10)
        print(f"  load: {count} trainings, {tenth * 10} %", file=sys.stderr, flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    delays = [seen - ended for ended, seen in simulation.found]
    questions_per_second = REQUESTS_PER_SECOND - len(delays) / seconds
    return {"mean": fmean(delays), "bound": count / (2 * questions_per_second), "ends": len(delays)}


def batch(count: int) -> dict[str, float]:
    """Return the mean delay of a batch, submitted at once, with ends uniform over half an hour; and its bound.

    :param count: how many trainings.
    """
    from benchmarks.virtual_time import run_in_virtual_time

    logging.disable(logging.INFO)
    return run_in_virtual_time(_batch(count))


async def _batch(count: int) -> dict[str, float]:
    from benchmarks.virtual_time import virtual_session

    draw = random.Random(count)
    simulation = _Simulation(virtual_session(REQUESTS_PER_SECOND), lambda: draw.uniform(0, BATCH_SECONDS))
    started_at = simulation.clock()
    await asyncio.gather(*(simulation.one(number) for number in range(count)))
    questions_per_second = REQUESTS_PER_SECOND - count / (simulation.clock() - started_at)
    still_running = range(count)  # at the last end none, at the one before it one, and so on
    return {
        "mean": fmean(seen - ended for ended, seen in simulation.found),
        "bound": fmean(still_running) / (2 * questions_per_second),
        "ends": count,
    }
