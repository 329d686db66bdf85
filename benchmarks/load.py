"""Detection delay of many trainings that share one rate limiter, in virtual time.

Nothing predicts the end of a training. The lowest possible mean delay follows from that:

    An end is detected by the next poll of that training. With n trainings and B polls per second, the interval between
    two polls of a training is n/B on average. Equal intervals give the lowest mean delay, half an interval, because a
    longer interval contains more ends and each of them waits longer (convexity). So the mean delay is at least
    n / (2 B). Each training also needs one request for its result: B = 5 - (ends per second).

In the steady case, n is constant. In a batch, n falls; n / (2 B) is then averaged over the ends, where n is the number
of trainings that are still running, and B = 5 - (trainings / seconds of the whole run). That ignores trainings that
have ended and are not detected yet, so the true optimum is slightly worse.
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
    from benchmarks.virtual_time import VirtualAccount

REQUESTS_PER_SECOND = 5
MEAN_SECONDS = 900.0
BATCH_SECONDS = 1800.0
_DAY = 86400.0


@dataclass(slots=True)
class _Simulation:
    """Trainings of one account with random durations.

    :param account: the account.
    :param draw_seconds: returns the duration of a training.
    :param detected: time of the end and time of its detection, for each training.
    """

    account: VirtualAccount
    draw_seconds: Callable[[], float]
    detected: list[tuple[float, float]] = field(default_factory=list)

    async def train(self, number: int) -> None:
        """Run one training."""
        from airflow_provider_akkio.api.types import AkkioTask
        from benchmarks.virtual_time import RESULT, RUNNING, SUCCEEDED

        clock = self.account.clock
        submitted_at = clock()
        ends_at = submitted_at + self.draw_seconds()

        def respond(request: Request) -> Response:
            if request.url.endswith("/result"):
                return RESULT
            return SUCCEEDED if clock() >= ends_at else RUNNING

        training = AkkioTask(f"T{number}", submitted_at)
        await self.account.poll_and_fetch(training, submitted_at + _DAY, respond)
        self.detected.append((ends_at, clock()))

    async def train_repeatedly(self, number: int) -> None:
        """Start a new training whenever the previous one has been detected."""
        while True:
            await self.train(number)


def steady(count: int, seconds: float) -> dict[str, float]:
    """Return the mean delay with a constant number of trainings, its lower bound, and the number of ends.

    The durations are exponentially distributed with a mean of 900 s.

    :param count: number of trainings in flight.
    :param seconds: virtual duration of the measurement, after a warm-up of half of it.
    """
    from benchmarks.virtual_time import run_in_virtual_time

    logging.disable(logging.INFO)
    return run_in_virtual_time(_steady(count, seconds))


async def _steady(count: int, seconds: float) -> dict[str, float]:
    from benchmarks.virtual_time import VirtualAccount

    draw = random.Random(count)
    simulation = _Simulation(VirtualAccount(REQUESTS_PER_SECOND), lambda: draw.expovariate(1 / MEAN_SECONDS))
    tasks = [asyncio.create_task(simulation.train_repeatedly(number)) for number in range(count)]
    await asyncio.sleep(seconds / 2)
    simulation.detected.clear()
    for tenth in range(1, 11):
        await asyncio.sleep(seconds / 10)
        print(f"  load: {count} trainings, {tenth * 10} %", file=sys.stderr, flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    delays = [detected - ended for ended, detected in simulation.detected]
    polls_per_second = REQUESTS_PER_SECOND - len(delays) / seconds
    return {"mean": fmean(delays), "bound": count / (2 * polls_per_second), "ends": len(delays)}


def batch(count: int) -> dict[str, float]:
    """Return the mean delay of trainings that start at once and end uniformly within half an hour, and its lower bound.

    :param count: number of trainings.
    """
    from benchmarks.virtual_time import run_in_virtual_time

    logging.disable(logging.INFO)
    return run_in_virtual_time(_batch(count))


async def _batch(count: int) -> dict[str, float]:
    from benchmarks.virtual_time import VirtualAccount

    draw = random.Random(count)
    simulation = _Simulation(VirtualAccount(REQUESTS_PER_SECOND), lambda: draw.uniform(0, BATCH_SECONDS))
    started_at = simulation.account.clock()
    await asyncio.gather(*(simulation.train(number) for number in range(count)))
    polls_per_second = REQUESTS_PER_SECOND - count / (simulation.account.clock() - started_at)
    still_running = range(count)  # 0 at the last end, 1 at the one before it, and so on
    return {
        "mean": fmean(detected - ended for ended, detected in simulation.detected),
        "bound": fmean(still_running) / (2 * polls_per_second),
        "ends": count,
    }
