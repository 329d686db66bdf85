"""The queue before an account's rate_limiter, on an event loop whose time passes at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from airflow_provider_akkio.api.http import Response
from airflow_provider_akkio.client.rate_limit import RateLimiter, RequestQueue
from tests.client.timeless import Clock, run

GOOD = Response(200)


class Passing:
    """Sends requests through a queue, and remembers in which order they went."""

    def __init__(self, clock: Clock, rate: float = 1.0) -> None:
        self.rate_limiter = RateLimiter(rate, clock)
        self.queue = RequestQueue(self.rate_limiter)
        self.passed: list[str] = []

    async def send(self, name: str, due_at: float = 0.0, seconds: float = 0.0) -> None:
        taken_at = await self.queue.enter(due_at)
        self.passed.append(name)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.rate_limiter.give_back(taken_at, GOOD)
            self.queue.let_next()

    async def queued(self, *sending: tuple[str, float]) -> list[asyncio.Task[None]]:
        """Let requests queue, in this order, behind one that holds the only place for ten seconds."""
        holder = asyncio.create_task(self.send("holder", seconds=10.0))
        tasks = [holder, *(asyncio.create_task(self.send(name, due_at)) for name, due_at in sending)]
        await asyncio.sleep(1)
        assert self.passed == ["holder"]
        return tasks


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passing(clock: Clock) -> Passing:
    return Passing(clock)


def test_what_has_been_wanted_longest_goes_first(clock: Clock, passing: Passing) -> None:
    async def main() -> None:
        await asyncio.gather(*await passing.queued(("late", 30.0), ("early", 10.0), ("between", 20.0)))

    run(clock, main())
    assert passing.passed == ["holder", "early", "between", "late"]


def test_what_has_no_time_goes_before_all_that_have_and_in_the_order_of_asking(clock: Clock, passing: Passing) -> None:
    async def main() -> None:
        await asyncio.gather(*await passing.queued(("poll", 10.0), ("result", 0.0), ("submission", 0.0)))

    run(clock, main())
    assert passing.passed == ["holder", "result", "submission", "poll"]


def test_nobody_overtakes_those_who_queue(clock: Clock, passing: Passing) -> None:
    async def main() -> None:
        tasks = await passing.queued(("queues", 10.0))
        await tasks[0]
        clock.now += 1
        await passing.send("late", 20.0)
        await asyncio.gather(*tasks)

    run(clock, main())
    assert passing.passed == ["holder", "queues", "late"]


def test_who_gives_up_waiting_holds_nobody_up(clock: Clock, passing: Passing) -> None:
    async def main() -> None:
        tasks = await passing.queued(("first", 10.0), ("second", 20.0))
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(clock, main())
    assert passing.passed == ["holder", "second"]


def test_who_is_cancelled_in_the_moment_of_being_let_through_gives_the_place_on(clock: Clock, passing: Passing) -> None:
    async def main() -> None:
        await passing.queue.enter(0.0)
        tasks = [asyncio.create_task(passing.send(name)) for name in ("first", "second")]
        await asyncio.sleep(1.01)
        passing.rate_limiter.put_back()
        passing.queue.let_next()
        at = clock.now
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert clock.now == at, "it takes no timer"

    run(clock, main())
    assert passing.passed == ["second"]
    clock.now += 1
    assert passing.rate_limiter.take() == 0, "no place was lost"


def test_a_place_that_frees_itself_is_taken_when_nobody_gives_one_back(clock: Clock) -> None:
    passing = Passing(clock, rate=0.2)

    async def main() -> float:
        await passing.send("first")
        began = clock.now
        await passing.send("second")
        return clock.now - began

    assert run(clock, main()) == pytest.approx(5.0)


def test_a_closed_account_opens_again(clock: Clock, passing: Passing) -> None:
    async def main() -> float:
        taken_at = await passing.queue.enter(0.0)
        passing.rate_limiter.give_back(taken_at, Response(429, retry_after="30"))
        await asyncio.gather(*(passing.send(name) for name in "ab"))
        return clock.now - taken_at

    assert run(clock, main()) >= 30.0
    assert passing.passed == ["a", "b"]


@pytest.mark.parametrize("rate", [0.5, 3.0, 20.0])
def test_nobody_is_forgotten_whoever_gives_up(clock: Clock, rate: float) -> None:
    chance = random.Random(rate)
    passing = Passing(clock, rate)

    async def one(name: str, act: Callable[[], float]) -> None:
        await asyncio.sleep(act())
        await passing.send(name, due_at=clock.now, seconds=act())

    async def main() -> tuple[set[str], list[asyncio.Task[None]]]:
        tasks = [asyncio.create_task(one(str(number), lambda: chance.uniform(0, 4))) for number in range(200)]
        given_up = set(chance.sample(range(200), 60))
        for number in given_up:
            await asyncio.sleep(chance.uniform(0, 0.2))
            tasks[number].cancel()
        await asyncio.wait(tasks)
        return {str(number) for number in range(200)} - {str(number) for number in given_up}, tasks

    patient, tasks = run(clock, main())
    assert patient <= set(passing.passed)
    assert not [task for task in tasks if not task.cancelled() and task.exception()]
    clock.now += 1000
    assert passing.rate_limiter.take() == 0
