"""How many requests an account may send, by a clock that is set."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from heapq import heappop, heappush
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.api.http import Response, TransportError
from airflow_provider_akkio.client.rate_limit import MAX_CONNECTIONS, RateLimiter, _process_began_at, get_rate_limiter
from tests.client.driving import client_config
from tests.client.timeless import Clock

GOOD = Response(200)
THROTTLED = Response(429)
ROUNDING = 1e-6
ANSWERS = [
    GOOD,
    GOOD,
    GOOD,
    Response(500),
    THROTTLED,
    Response(503, retry_after="1"),
    TransportError("reset", was_sent=True),
    None,
]
Outcome = Response | TransportError | None

repeatable = settings(max_examples=150, deadline=None, derandomize=True, database=None)
ways = st.tuples(st.floats(0, 3), st.floats(0, 1), st.sampled_from(ANSWERS))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(rate_limiter: RateLimiter) -> int:
    """Take all places that there are, and return how many."""
    return sum(1 for _ in itertools.takewhile(lambda _: rate_limiter.take() == 0, range(1000)))


def exchange(rate_limiter: RateLimiter, clock: Clock, answer: Response | TransportError = GOOD) -> None:
    """Send a request as soon as there is a place, and let it be answered at once."""
    while seconds := rate_limiter.take():
        clock.now += seconds
    rate_limiter.give_back(clock.now, answer)


def slowed(rate_limiter: RateLimiter, clock: Clock, times: int) -> None:
    for _ in range(times):
        exchange(rate_limiter, clock, THROTTLED)
    clock.now += 1000


def counted_at_the_far_end(rate: float, on_their_way: list[tuple[float, float, Outcome]]) -> list[float]:
    """Send requests as soon as they may be, and return when the other side counts them: somewhere on their way."""
    clock = Clock()
    rate_limiter = RateLimiter(rate, clock)
    under_way: list[tuple[float, int, float, Outcome]] = []
    counted: list[float] = []
    tries = 0
    for number, (latency, share, answer) in enumerate(on_their_way):
        while seconds := rate_limiter.take():
            tries += 1
            assert tries < 1000, "it goes on"
            clock.now += seconds
            if under_way and under_way[0][0] <= clock.now:
                clock.now, _, taken_at, came = heappop(under_way)
                rate_limiter.give_back(taken_at, came)
        counted.append(clock.now + share * latency)
        heappush(under_way, (clock.now + latency, number, clock.now, answer))
        assert len(under_way) <= MAX_CONNECTIONS
    return sorted(counted)


@repeatable
@given(rate=st.floats(0.2, 20), on_their_way=st.lists(ways, min_size=2, max_size=60))
def test_no_second_at_the_far_end_has_more_requests_than_allowed(
    rate: float, on_their_way: list[tuple[float, float, Outcome]]
) -> None:
    counted = counted_at_the_far_end(rate, on_their_way)
    most = max(1, int(rate))
    assert all(later - earlier >= 1 - ROUNDING for earlier, later in zip(counted, counted[most:], strict=False))
    if rate < 1:
        assert all(later - earlier >= 1 / rate - ROUNDING for earlier, later in itertools.pairwise(counted))


@repeatable
@given(
    rate=st.one_of(st.floats(0.2, 4.9), st.sampled_from([1.0, 2.0, 4.0])),
    processes=st.lists(st.lists(st.floats(0, 1), max_size=8), max_size=8),
)
def test_a_process_that_follows_another_keeps_to_the_share_of_both(rate: float, processes: list[list[float]]) -> None:
    clock = Clock()
    counted: list[float] = []
    for latencies in processes:
        rate_limiter = RateLimiter(rate, clock, began_at=clock.now)
        for latency in latencies:
            while seconds := rate_limiter.take():
                clock.now += seconds
            clock.now += latency
            counted.append(clock.now)
            rate_limiter.give_back(clock.now - latency, GOOD)
    most = max(1, int(rate))
    assert all(later - earlier >= 1 - ROUNDING for earlier, later in zip(counted, counted[most:], strict=False))


def test_a_process_that_has_the_whole_limit_begins_at_once(clock: Clock) -> None:
    assert RateLimiter(5, clock, began_at=clock.now).take() == 0
    assert RateLimiter(4.9, clock, began_at=clock.now).take() == 1
    assert RateLimiter(0.5, clock, began_at=clock.now).take() == 2


def test_all_places_are_free_again_one_second_after_the_answers(clock: Clock) -> None:
    rate_limiter = RateLimiter(5, clock)
    assert taken(rate_limiter) == 5
    clock.now += 10
    assert rate_limiter.take() > 0, "what is under way may be counted yet"
    for _ in range(5):
        rate_limiter.give_back(1000.0, GOOD)
    assert rate_limiter.take() == 1.0
    clock.now += 1
    assert taken(rate_limiter) == 5


def test_eight_requests_at_most_are_under_way_at_once(clock: Clock) -> None:
    rate_limiter = RateLimiter(1000, clock)
    assert taken(rate_limiter) == MAX_CONNECTIONS == 8
    rate_limiter.give_back(clock.now, GOOD)
    assert taken(rate_limiter) == 1


@pytest.mark.parametrize(("rate", "places"), [(0.3, 1), (1.9, 1), (2.9, 2), (5, 5)])
def test_the_whole_part_of_a_rate_counts_and_never_less_than_one(clock: Clock, rate: float, places: int) -> None:
    assert taken(RateLimiter(rate, clock)) == places


def test_a_place_for_which_nothing_was_sent_is_free_at_once(clock: Clock) -> None:
    rate_limiter = RateLimiter(1, clock)
    assert taken(rate_limiter) == 1
    rate_limiter.put_back()
    assert taken(rate_limiter) == 1


@pytest.mark.parametrize("answer", [THROTTLED, Response(503, retry_after="1")])
def test_being_throttled_halves_the_rate_once_for_all_that_was_under_way(clock: Clock, answer: Response) -> None:
    rate_limiter = RateLimiter(8, clock)
    taken_at = clock.now
    assert taken(rate_limiter) == 8
    for _ in range(8):
        clock.now += 0.1
        rate_limiter.give_back(taken_at, answer)
    clock.now += 10
    taken_at = clock.now
    assert taken(rate_limiter) == 4
    clock.now += 0.1
    rate_limiter.give_back(taken_at, answer)
    for _ in range(3):
        rate_limiter.give_back(taken_at, None)
    clock.now += 10
    assert taken(rate_limiter) == 2


def test_the_rate_comes_back_with_the_answers_that_are_none(clock: Clock) -> None:
    rate_limiter = RateLimiter(8, clock)
    slowed(rate_limiter, clock, times=1)
    for _ in range(9):
        exchange(rate_limiter, clock)
    clock.now += 10
    assert taken(rate_limiter) == 7
    for _ in range(7):
        rate_limiter.give_back(clock.now, GOOD)
    clock.now += 10
    assert taken(rate_limiter) == 8


def test_however_often_it_is_throttled_there_is_a_place_again(clock: Clock) -> None:
    rate_limiter = RateLimiter(5, clock)
    slowed(rate_limiter, clock, times=50)
    assert rate_limiter.take() == 0
    rate_limiter.give_back(clock.now, TransportError("reset", was_sent=True))
    assert rate_limiter.take() == pytest.approx(32 / 5)


@pytest.mark.parametrize("status", [429, 503])
def test_nothing_is_sent_before_retry_after_has_passed(clock: Clock, status: int) -> None:
    rate_limiter = RateLimiter(5, clock)
    exchange(rate_limiter, clock, Response(status, retry_after="30"))
    assert rate_limiter.take() == 30
    clock.now += 29
    assert rate_limiter.take() == 1
    clock.now += 1
    assert rate_limiter.take() == 0


def test_a_shorter_retry_after_does_not_open_what_a_longer_one_has_closed(clock: Clock) -> None:
    rate_limiter = RateLimiter(5, clock)
    assert taken(rate_limiter) == 5
    rate_limiter.give_back(clock.now, Response(429, retry_after="30"))
    rate_limiter.give_back(clock.now, Response(429, retry_after="3"))
    assert rate_limiter.take() == 30


@pytest.mark.parametrize("answer", [Response(503), Response(500, retry_after="30"), Response(200, retry_after="30")])
def test_another_failure_says_nothing_about_the_rate(clock: Clock, answer: Response) -> None:
    rate_limiter = RateLimiter(5, clock)
    exchange(rate_limiter, clock, answer)
    clock.now += 1
    assert taken(rate_limiter) == 5


def test_an_account_has_one_allowance_whatever_its_connection_is() -> None:
    one = get_rate_limiter(client_config("https://one.example", verify=False, timeout=1))
    assert get_rate_limiter(client_config("https://one.example")) is one
    assert get_rate_limiter(client_config("https://another.example")) is not one
    assert get_rate_limiter(client_config("https://one.example", key="another-key")) is not one


def test_the_rate_of_the_connection_that_asked_last_counts() -> None:
    get_rate_limiter(client_config("https://rate.example", requests_per_second=2))
    assert get_rate_limiter(client_config("https://rate.example", requests_per_second=4)).requests_per_second == 4


def test_a_process_that_began_long_ago_sends_at_once() -> None:
    assert get_rate_limiter(client_config("https://old.example", requests_per_second=1)).take() == 0


def test_a_process_began_when_it_was_started_whatever_its_name_is_and_never_earlier() -> None:
    program = """if True:
        from pathlib import Path
        from airflow_provider_akkio.client.rate_limit import _process_began_at
        Path("/proc/self/comm").write_text("a) (b c")
        print(_process_began_at())
    """
    before = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        after = time.monotonic()
        began_at = float(process.communicate(timeout=120)[0])
    assert before <= began_at <= after + 0.02, "it is told in hundredths of a second"


def test_a_process_is_as_old_as_it_is_on_a_machine_that_has_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: f"1 (python) S {'7 ' * 18}{499_949} 7 7")
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    monkeypatch.setattr("time.clock_gettime", {time.CLOCK_BOOTTIME: 5000.0, time.CLOCK_MONOTONIC: 1000.0}.get)
    monkeypatch.setattr("os.sysconf", {"SC_CLK_TCK": 100}.get)
    assert _process_began_at() == pytest.approx(999.5)


def test_where_the_system_does_not_tell_when_a_process_began_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathlib.Path.read_text", Mock(side_effect=FileNotFoundError))
    before = time.monotonic()
    assert before <= _process_began_at() <= time.monotonic()


def test_a_forked_child_has_an_allowance_of_its_own_as_the_new_process_that_it_is() -> None:
    program = """if True:
        import os, signal
        from airflow_provider_akkio.client.rate_limit import get_rate_limiter
        from airflow_provider_akkio.api.config import ClientConfig
        from airflow_provider_akkio.api.config import BaseUrl
        ours = ClientConfig("akkio_default", BaseUrl("https://api.akkio.com"), "the-key", requests_per_second=0.001)
        before = get_rate_limiter(ours)
        assert before.take() > 0
        child = os.fork()
        if not child:
            signal.alarm(60)
            after = get_rate_limiter(ours)
            os._exit(0 if after is not before and before.take() < after.take() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert get_rate_limiter(ours) is before
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
