"""How late the end of a single training is seen, in virtual time, and with real triggers to compare."""

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
class Knowledge:
    """What is known of a training before it ends.

    :param name: what to call it.
    :param estimate: draws Akkio's estimate, as a factor of the true seconds; ``None`` gives none.
    :param has_duration: whether its duration is known.
    :param most_late: the goal for the mean delay, as a share of the training's seconds, or else one second.
    :param most_polls: the goal for the number of questions.
    """

    name: str
    estimate: Callable[[random.Random], float] | None
    has_duration: bool = True
    most_late: float | None = 0.08
    most_polls: int | None = 20


KINDS = (
    Knowledge("estimate within 20 %", lambda draw: draw.uniform(0.8, 1.2), most_late=0.05, most_polls=8),
    Knowledge("estimate 3 times too long", lambda _: 3.0),
    Knowledge("estimate 3 times too short", lambda _: 1 / 3),
    Knowledge("no estimate", None),
    Knowledge("no estimate, no duration", None, has_duration=False, most_late=None, most_polls=None),
)
LENGTHS = (10, 60, 300, 1800)


def simulated(
    count: int, lengths: Sequence[int] = LENGTHS, answer_seconds: float = 0.05
) -> dict[str, dict[int, dict[str, float]]]:
    """Return the mean delay in seconds and the most questions of one training, by kind and length.

    The conversations are driven in virtual time, without any network. Each training takes its duration, give or take
    3 %.

    :param count: how many trainings of each.
    :param lengths: the durations in seconds.
    :param answer_seconds: what an answer takes; Akkio looks at the training after half of it.
    """
    logging.disable(logging.INFO)
    return {kind.name: {seconds: _many(kind, seconds, count, answer_seconds) for seconds in lengths} for kind in KINDS}


def _many(kind: Knowledge, duration: int, count: int, answer_seconds: float) -> dict[str, float]:
    draw = random.Random(duration)
    outcomes = [_one(kind, duration, draw, answer_seconds) for _ in range(count)]
    return {"mean": fmean(late for late, _ in outcomes), "polls": max(polls for _, polls in outcomes)}


def _one(kind: Knowledge, duration: int, draw: random.Random, answer_seconds: float) -> tuple[float, int]:
    """Return the seconds until the result of one training was there after its end, and how many questions it took."""
    from airflow_provider_akkio.api.http import Sleep
    from airflow_provider_akkio.api.trainings import AkkioApi
    from airflow_provider_akkio.api.types import SubmittedTraining
    from benchmarks.virtual_time import ACCOUNT, RESULT, status_answer

    seconds = duration * draw.uniform(1 - _JITTER, 1 + _JITTER)
    estimate = None if kind.estimate is None else seconds * kind.estimate(draw)
    now, polls, reply = _SUBMITTED_AT, 0, None
    training = SubmittedTraining("T1", now, duration if kind.has_duration else None)
    conversation = AkkioApi(ACCOUNT, clock=lambda: now).poll_until_done(training, now + _DAY)
    while True:
        try:
            step = conversation.send(reply)
        except StopIteration:
            return now - _SUBMITTED_AT - seconds, polls
        if isinstance(step, Sleep):
            now, reply = now + step.seconds, None
            continue
        reply = RESULT
        if step.url.endswith("/status"):
            polls += 1
            has_ended = now + answer_seconds / 2 >= _SUBMITTED_AT + seconds
            reply = status_answer("SUCCEEDED" if has_ended else "IN_PROGRESS", estimate)
        now += answer_seconds


def real(duration: int, count: int) -> float:
    """Return the mean seconds from the end of a training to its trigger's event, with real triggers, clock and sockets.

    Their duration is known, and no estimate.

    :param duration: seconds that Akkio was asked to spend on each; it takes them, give or take 3 %.
    :param count: how many are trained at once.
    """
    with loopback_akkio() as akkio:
        connect(akkio)
        return asyncio.run(_real(duration, count))


async def _real(duration: int, count: int) -> float:
    draw = random.Random(duration)

    async def lateness(number: int) -> float:
        submitted_at = time.time()
        ends_at = submitted_at + duration * draw.uniform(1 - _JITTER, 1 + _JITTER)
        await event_of(trigger(f"until-{ends_at}-{number}", submitted_at=submitted_at, duration=duration))
        return time.time() - ends_at

    return fmean(await asyncio.gather(*(lateness(number) for number in range(count))))
