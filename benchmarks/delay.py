"""Detection delay of single trainings, in virtual time and, for comparison, with real triggers."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.loopback import loopback_akkio
from benchmarks.triggering import connect, event_of, trigger

_SUBMITTED_AT = 1e6
_DAY = 86400.0
_JITTER = 0.03


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is known about a training before it ends.

    :param name: name of the scenario.
    :param draw_estimate: returns Akkio's estimate as a factor of the true duration; ``None`` for no estimate.
    :param has_duration: whether the requested duration is known.
    :param max_delay: goal for the mean delay as a fraction of the duration, or one second; ``None`` for no goal.
    :param max_polls: goal for the number of polls; ``None`` for no goal.
    """

    name: str
    draw_estimate: Callable[[random.Random], float] | None
    has_duration: bool = True
    max_delay: float | None = 0.08
    max_polls: int | None = 20


SCENARIOS = (
    Scenario("estimate within 20 %", lambda draw: draw.uniform(0.8, 1.2), max_delay=0.05, max_polls=8),
    Scenario("estimate 3 times too long", lambda _: 3.0),
    Scenario("estimate 3 times too short", lambda _: 1 / 3),
    Scenario("no estimate", None),
    Scenario("no estimate, no duration", None, has_duration=False, max_delay=None, max_polls=None),
)
LENGTHS = (10, 60, 300, 1800)


def simulated(
    count: int, lengths: Sequence[int] = LENGTHS, response_seconds: float = 0.05
) -> dict[str, dict[int, dict[str, float]]]:
    """Return the mean delay in seconds and the maximum number of polls, by scenario and length.

    The flows run in virtual time, without a network. A training takes its requested duration, give or take 3 %.

    :param count: number of trainings per scenario and length.
    :param lengths: requested durations in seconds.
    :param response_seconds: seconds until a response arrives; Akkio evaluates the request after half of it.
    """
    logging.disable(logging.INFO)
    return {
        scenario.name: {seconds: _simulate_many(scenario, seconds, count, response_seconds) for seconds in lengths}
        for scenario in SCENARIOS
    }


def _simulate_many(scenario: Scenario, duration: int, count: int, response_seconds: float) -> dict[str, float]:
    draw = random.Random(duration)
    outcomes = [_simulate(scenario, duration, draw, response_seconds) for _ in range(count)]
    return {"mean": fmean(delay for delay, _ in outcomes), "polls": max(polls for _, polls in outcomes)}


def _simulate(scenario: Scenario, duration: int, draw: random.Random, response_seconds: float) -> tuple[float, int]:
    """Return the seconds from the end of a training to its result, and the number of polls."""
    from airflow_provider_akkio.api.http import Sleep
    from airflow_provider_akkio.api.tasks import AkkioApi
    from airflow_provider_akkio.api.types import AkkioTask
    from benchmarks.virtual_time import CONFIG, RESULT, poll_and_fetch, status_response

    seconds = duration * draw.uniform(1 - _JITTER, 1 + _JITTER)
    estimate = None if scenario.draw_estimate is None else seconds * scenario.draw_estimate(draw)
    now, polls, reply = _SUBMITTED_AT, 0, None
    training = AkkioTask("T1", now, duration if scenario.has_duration else None)
    flow = poll_and_fetch(AkkioApi(CONFIG, clock=lambda: now), training, now + _DAY)
    while True:
        try:
            step = flow.send(reply)
        except StopIteration:
            return now - _SUBMITTED_AT - seconds, polls
        if isinstance(step, Sleep):
            now, reply = now + step.seconds, None
            continue
        reply = RESULT
        if step.url.endswith("/status"):
            polls += 1
            has_ended = now + response_seconds / 2 >= _SUBMITTED_AT + seconds
            reply = status_response("SUCCEEDED" if has_ended else "IN_PROGRESS", estimate)
        now += response_seconds


def real(duration: int, count: int) -> float:
    """Return the mean seconds from the end of a training to its trigger event, with real triggers, time and sockets.

    The requested duration is known, and there is no estimate.

    :param duration: requested duration in seconds; a training takes it, give or take 3 %.
    :param count: number of concurrent trainings.
    """
    with loopback_akkio() as akkio:
        connect(akkio)
        return asyncio.run(_real(duration, count))


async def _real(duration: int, count: int) -> float:
    draw = random.Random(duration)

    async def delay(number: int) -> float:
        submitted_at = time.time()
        ends_at = submitted_at + duration * draw.uniform(1 - _JITTER, 1 + _JITTER)
        await event_of(trigger(f"until-{ends_at}-{number}", submitted_at=submitted_at, duration=duration))
        return time.time() - ends_at

    return fmean(await asyncio.gather(*(delay(number) for number in range(count))))
