"""The rate limiter by a clock that is set, and the request queue in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import sys
from collections.abc import Callable
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.api.http import Response, TransportError
from airflow_provider_akkio.client.rate_limit import MAX_CONNECTIONS, RateLimiter, RequestQueue, get_rate_limiter
from tests.client.driving import client_config
from tests.client.timeless import Clock, run

OK = Response(200)
THROTTLED = Response(429)
RESET = TransportError("reset", was_sent=True)
ROUNDING = 1e-6
Outcome = Response | TransportError | None
OUTCOMES: list[Outcome] = [OK, OK, OK, Response(500), THROTTLED, Response(503, retry_after="1"), RESET, None]

repeatable = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def old_limiter(requests_per_second: float, clock: Clock) -> RateLimiter:
    """Return a rate limiter that was created long ago."""
    limiter = RateLimiter(requests_per_second, clock)
    clock.now += 100
    return limiter


def acquire_all(limiter: RateLimiter) -> int:
    """Acquire all available permits, and return their number."""
    return sum(1 for _ in itertools.takewhile(lambda _: limiter.try_acquire() == 0, range(1000)))


def acquire(limiter: RateLimiter, clock: Clock) -> float:
    for _ in range(1000):
        seconds = limiter.try_acquire()
        if not seconds:
            return clock.now
        clock.now += seconds
    raise AssertionError("no permit")


def send(limiter: RateLimiter, clock: Clock, response: Outcome = OK) -> None:
    limiter.release(acquire(limiter, clock), response)


def assert_rate(times: list[float], rate: float) -> None:
    """Check that no second has more requests than allowed."""
    most = max(1, int(rate))
    assert all(later - earlier >= 1 - ROUNDING for earlier, later in zip(times, times[most:], strict=False))
    if rate < 1:
        assert all(later - earlier >= 1 / rate - ROUNDING for earlier, later in itertools.pairwise(times))


@repeatable
@given(
    rate=st.floats(0.2, 20),
    requests=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.sampled_from(OUTCOMES)), min_size=2, max_size=60),
)
def test_rate_holds_where_requests_arrive(rate: float, requests: list[tuple[float, float, Outcome]]) -> None:
    """Akkio counts each request at an unknown moment between its sending and its response."""
    clock = Clock()
    limiter = RateLimiter(rate, clock)
    in_flight: list[tuple[float, int, float, Outcome]] = []
    counted: list[float] = []
    for number, (latency, share, outcome) in enumerate(requests):
        for _ in range(1000):
            seconds = limiter.try_acquire()
            if not seconds:
                break
            clock.now += seconds
            if in_flight and in_flight[0][0] <= clock.now:
                clock.now, _, acquired_at, ended = heappop(in_flight)
                limiter.release(acquired_at, ended)
        else:
            raise AssertionError("no permit")
        counted.append(clock.now + share * latency)
        heappush(in_flight, (clock.now + latency, number, clock.now, outcome))
        assert len(in_flight) <= MAX_CONNECTIONS
    assert_rate(sorted(counted), rate)


@repeatable
@given(
    rate=st.one_of(st.floats(0.2, 4.9), st.sampled_from([1.0, 2.0, 4.0])),
    processes=st.lists(st.lists(st.floats(0, 1), max_size=8), max_size=8),
)
def test_consecutive_processes_keep_to_one_share(rate: float, processes: list[list[float]]) -> None:
    clock = Clock()
    counted: list[float] = []
    for latencies in processes:
        limiter = RateLimiter(rate, clock)
        for latency in latencies:
            acquired_at = acquire(limiter, clock)
            clock.now += latency
            counted.append(clock.now)
            limiter.release(acquired_at, OK)
    assert_rate(counted, rate)


@pytest.mark.parametrize(("rate", "seconds"), [(5, 0), (8, 0), (4.9, 1), (1, 1), (0.5, 2)])
def test_limiter_with_a_share_delays_its_first_request(clock: Clock, rate: float, seconds: float) -> None:
    assert RateLimiter(rate, clock).try_acquire() == seconds


@pytest.mark.parametrize(("rate", "permits"), [(0.3, 1), (1.9, 1), (2.9, 2), (5, 5), (1000, MAX_CONNECTIONS)])
def test_limiter_grants_the_integer_part_of_its_rate(clock: Clock, rate: float, permits: int) -> None:
    assert acquire_all(old_limiter(rate, clock)) == permits


def test_permits_are_available_one_second_after_the_responses(clock: Clock) -> None:
    limiter = RateLimiter(5, clock)
    acquired_at = clock.now
    assert acquire_all(limiter) == 5
    clock.now += 10
    assert limiter.try_acquire() > 0, "Akkio may not have counted the requests yet"
    for _ in range(5):
        limiter.release(acquired_at, OK)
    assert limiter.try_acquire() == 1.0
    clock.now += 1
    assert acquire_all(limiter) == 5


def test_cancelled_permit_is_available_immediately(clock: Clock) -> None:
    limiter = old_limiter(1, clock)
    assert acquire_all(limiter) == 1
    limiter.cancel()
    assert acquire_all(limiter) == 1


@pytest.mark.parametrize("response", [THROTTLED, Response(503, retry_after="1")])
def test_throttling_halves_the_rate_once_for_all_requests_in_flight(clock: Clock, response: Response) -> None:
    limiter = RateLimiter(8, clock)
    acquired_at = clock.now
    assert acquire_all(limiter) == 8
    for _ in range(8):
        clock.now += 0.1
        limiter.release(acquired_at, response)
    clock.now += 10
    acquired_at = clock.now
    assert acquire_all(limiter) == 4
    clock.now += 0.1
    limiter.release(acquired_at, response)
    for _ in range(3):
        limiter.release(acquired_at, None)
    clock.now += 10
    assert acquire_all(limiter) == 2


def test_other_responses_restore_the_rate(clock: Clock) -> None:
    limiter = RateLimiter(8, clock)
    send(limiter, clock, THROTTLED)
    for _ in range(9):
        send(limiter, clock)
    clock.now += 10
    assert acquire_all(limiter) == 7
    for _ in range(7):
        limiter.release(clock.now, OK)
    clock.now += 10
    assert acquire_all(limiter) == 8


def test_rate_never_falls_below_a_thirty_second(clock: Clock) -> None:
    limiter = RateLimiter(5, clock)
    for _ in range(50):
        send(limiter, clock, THROTTLED)
    acquired_at = acquire(limiter, clock)
    limiter.release(acquired_at, RESET)
    assert limiter.try_acquire() == pytest.approx(32 / 5)


@pytest.mark.parametrize("status", [429, 503])
def test_limiter_waits_for_retry_after(clock: Clock, status: int) -> None:
    limiter = RateLimiter(5, clock)
    send(limiter, clock, Response(status, retry_after="30"))
    assert limiter.try_acquire() == 30
    clock.now += 29
    assert limiter.try_acquire() == 1
    clock.now += 1
    assert limiter.try_acquire() == 0


def test_shorter_retry_after_does_not_replace_a_longer_one(clock: Clock) -> None:
    limiter = RateLimiter(5, clock)
    assert acquire_all(limiter) == 5
    limiter.release(clock.now, Response(429, retry_after="30"))
    limiter.release(clock.now, Response(429, retry_after="3"))
    assert limiter.try_acquire() == 30


@pytest.mark.parametrize("response", [Response(503), Response(500, retry_after="30"), Response(200, retry_after="30")])
def test_other_failures_do_not_change_the_rate(clock: Clock, response: Response) -> None:
    limiter = RateLimiter(5, clock)
    send(limiter, clock, response)
    clock.now += 1
    assert acquire_all(limiter) == 5


def test_account_has_one_limiter() -> None:
    one = get_rate_limiter(client_config("https://one.example", verify=False, timeout=1))
    assert get_rate_limiter(client_config("https://one.example")) is one
    assert get_rate_limiter(client_config("https://another.example")) is not one
    assert get_rate_limiter(client_config("https://one.example", api_key="another-key")) is not one


def test_most_recent_connection_sets_the_rate() -> None:
    get_rate_limiter(client_config("https://rate.example", requests_per_second=2))
    assert get_rate_limiter(client_config("https://rate.example", requests_per_second=4)).requests_per_second == 4


def test_forked_child_has_its_own_limiter() -> None:
    program = """if True:
        import os, signal
        from airflow_provider_akkio.client.rate_limit import get_rate_limiter
        from tests.client.driving import client_config
        config = client_config("https://api.akkio.com", requests_per_second=5)
        before = get_rate_limiter(config)
        for _ in range(5):
            assert before.try_acquire() == 0
        child = os.fork()
        if not child:
            signal.alarm(300)
            os._exit(0 if get_rate_limiter(config).try_acquire() == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert get_rate_limiter(config) is before
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr


class QueueDriver:
    """Send requests through a queue, and record their order."""

    def __init__(self, clock: Clock, rate: float = 1.0) -> None:
        self.limiter = old_limiter(rate, clock)
        self.queue = RequestQueue(self.limiter)
        self.sent: list[str] = []

    async def send(self, name: str, due_at: float = 0.0, seconds: float = 0.0, response: Response = OK) -> None:
        acquired_at = await self.queue.acquire(due_at)
        self.sent.append(name)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.limiter.release(acquired_at, response)
            self.queue.wake_next()

    async def enqueue(self, *requests: tuple[str, float]) -> list[asyncio.Task[None]]:
        """Enqueue requests in this order behind one that holds the only permit for ten seconds."""
        holder = asyncio.create_task(self.send("holder", seconds=10.0))
        tasks = [holder, *(asyncio.create_task(self.send(name, due_at)) for name, due_at in requests)]
        await asyncio.sleep(1)
        assert self.sent == ["holder"]
        return tasks


@pytest.fixture
def driver(clock: Clock) -> QueueDriver:
    return QueueDriver(clock)


@pytest.mark.parametrize(
    ("requests", "order"),
    [
        ([("late", 30.0), ("early", 10.0), ("middle", 20.0)], ["early", "middle", "late"]),
        ([("poll", 10.0), ("result", 0.0), ("submission", 0.0)], ["result", "submission", "poll"]),
    ],
)
def test_queue_sends_the_longest_due_request_first(
    clock: Clock, driver: QueueDriver, requests: list[tuple[str, float]], order: list[str]
) -> None:
    async def main() -> None:
        await asyncio.gather(*await driver.enqueue(*requests))

    run(clock, main())
    assert driver.sent == ["holder", *order]


def test_new_request_does_not_overtake_the_queue(clock: Clock, driver: QueueDriver) -> None:
    async def main() -> None:
        tasks = await driver.enqueue(("queued", 10.0))
        await tasks[0]
        clock.now += 1
        await driver.send("new", 20.0)
        await asyncio.gather(*tasks)

    run(clock, main())
    assert driver.sent == ["holder", "queued", "new"]


def test_cancelled_request_does_not_block_the_queue(clock: Clock, driver: QueueDriver) -> None:
    async def main() -> None:
        tasks = await driver.enqueue(("cancelled", 10.0), ("second", 20.0))
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(clock, main())
    assert driver.sent == ["holder", "second"]


def test_request_that_is_cancelled_with_a_permit_passes_it_on(clock: Clock, driver: QueueDriver) -> None:
    async def main() -> None:
        await driver.queue.acquire(0.0)
        tasks = [asyncio.create_task(driver.send(name)) for name in ("cancelled", "second")]
        await asyncio.sleep(1.01)
        driver.limiter.cancel()
        driver.queue.wake_next()
        granted_at = clock.now
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert clock.now == granted_at

    run(clock, main())
    assert driver.sent == ["second"]
    clock.now += 1
    assert driver.limiter.try_acquire() == 0


def test_queue_continues_after_retry_after(clock: Clock, driver: QueueDriver) -> None:
    began = clock.now

    async def main() -> None:
        await driver.send("throttled", response=Response(429, retry_after="30"))
        await asyncio.gather(driver.send("a"), driver.send("b"))

    run(clock, main())
    assert clock.now - began >= 30
    assert driver.sent == ["throttled", "a", "b"]


@pytest.mark.parametrize("rate", [0.5, 3.0, 20.0])
def test_queue_sends_every_request_that_is_not_cancelled(clock: Clock, rate: float) -> None:
    chance = random.Random(rate)
    driver = QueueDriver(clock, rate)

    async def send(name: str, duration: Callable[[], float]) -> None:
        await asyncio.sleep(duration())
        await driver.send(name, due_at=clock.now, seconds=duration())

    async def main() -> tuple[set[str], list[asyncio.Task[None]]]:
        tasks = [asyncio.create_task(send(str(number), lambda: chance.uniform(0, 4))) for number in range(200)]
        cancelled = set(chance.sample(range(200), 60))
        for number in cancelled:
            await asyncio.sleep(chance.uniform(0, 0.2))
            tasks[number].cancel()
        await asyncio.wait(tasks)
        return {str(number) for number in set(range(200)) - cancelled}, tasks

    expected, tasks = run(clock, main())
    assert expected <= set(driver.sent)
    assert not [task for task in tasks if not task.cancelled() and task.exception()]
    clock.now += 1000
    assert driver.limiter.try_acquire() == 0
