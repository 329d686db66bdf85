from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.api.polling import seconds_until_next_poll
from airflow_provider_akkio.api.types import Duration

ROUNDING = 1e-6
repeatable = settings(max_examples=300, deadline=None, derandomize=True, database=None)
durations = st.sampled_from([None, *(float(duration) for duration in Duration)])
seconds = st.floats(0, 1e9)


def polls_until(end: float, duration: float | None, estimate: float | None) -> tuple[int, float]:
    """Return how many polls a training takes whose estimate is known from the first one, and how late the last is."""
    now = seconds_until_next_poll(0.0, duration=duration)
    polls = 1
    while now < end:
        now += seconds_until_next_poll(now, duration=duration, estimate=estimate)
        polls += 1
    return polls, now - end


@pytest.mark.parametrize(("elapsed", "wait"), [(0.0, 2.0), (0.5, 1.5), (1.0, 1.0), (1.9, 1.0), (-600.0, 2.0)])
def test_first_poll_comes_after_two_seconds(elapsed: float, wait: float) -> None:
    assert seconds_until_next_poll(elapsed, duration=60, estimate=60, is_waiting=True) == wait
    assert seconds_until_next_poll(elapsed) == wait


@pytest.mark.parametrize(("elapsed", "wait"), [(2, 1), (10, 5), (119, 59.5), (120, 60), (5000, 60)])
def test_waiting_training_is_polled_after_half_of_the_elapsed_time(elapsed: float, wait: float) -> None:
    assert seconds_until_next_poll(elapsed, duration=1800, estimate=1800, is_waiting=True, seconds_per_round=99) == wait


@pytest.mark.parametrize(
    ("elapsed", "wait"), [(2, 33.5), (35.4, 1), (35.5, 52.5), (83.5, 4.5), (88, 8), (120, 8), (127.9, 8)]
)
def test_estimate_is_polled_after_a_third_and_in_the_window(elapsed: float, wait: float) -> None:
    assert seconds_until_next_poll(elapsed, estimate=100) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("duration", "early"), [(10, 35.5), (24, 35.5), (25, 26.25), (60, 63), (69, 72.45), (70, 35.5), (300, 35.5)]
)
def test_early_poll_comes_after_a_duration_that_is_close_to_the_estimate(duration: float, early: float) -> None:
    assert 10 + seconds_until_next_poll(10, duration=duration, estimate=100) == pytest.approx(early)


@pytest.mark.parametrize(("elapsed", "then"), [(2, 4), (10, 20), (40, 80), (50, 88), (88, 96), (127, 135)])
def test_duration_without_estimate_is_polled_at_each_doubling_and_in_the_window(elapsed: float, then: float) -> None:
    assert elapsed + seconds_until_next_poll(elapsed, duration=100) == pytest.approx(then)


@pytest.mark.parametrize("duration", [10, None])
def test_estimate_of_hours_is_polled_at_each_doubling(duration: float | None) -> None:
    assert 10 + seconds_until_next_poll(10, duration=duration, estimate=60_000) == 20


@pytest.mark.parametrize("elapsed", [128, 200, 5000])
@pytest.mark.parametrize("expected", [{"estimate": 100}, {"duration": 100}])
def test_overdue_training_is_polled_after_a_tenth_of_the_elapsed_time(
    elapsed: float, expected: dict[str, float]
) -> None:
    assert seconds_until_next_poll(elapsed, **expected) == pytest.approx(0.1 * elapsed)


@pytest.mark.parametrize(("seconds_per_round", "then"), [(0, 35.5), (25, 35.5), (30, 40), (78, 88), (1000, 88)])
def test_early_poll_waits_for_a_round_of_the_account(seconds_per_round: float, then: float) -> None:
    assert 10 + seconds_until_next_poll(10, estimate=100, seconds_per_round=seconds_per_round) == pytest.approx(then)
    assert seconds_until_next_poll(90, estimate=100, seconds_per_round=seconds_per_round) == pytest.approx(8)


@pytest.mark.parametrize(("seconds_per_round", "wait"), [(0, 50), (49, 50), (70, 70), (140, 140), (1000, 140)])
def test_unknown_end_is_polled_once_per_round_within_bounds(seconds_per_round: float, wait: float) -> None:
    assert seconds_until_next_poll(1000, seconds_per_round=seconds_per_round) == pytest.approx(wait)


@repeatable
@given(
    elapsed=st.floats(-1e6, 1e9),
    duration=durations,
    estimate=st.none() | seconds,
    is_waiting=st.booleans(),
    seconds_per_round=st.floats(0, math.inf),
)
def test_interval_is_at_least_one_second_and_finite(
    elapsed: float, duration: float | None, estimate: float | None, is_waiting: bool, seconds_per_round: float
) -> None:
    interval = seconds_until_next_poll(
        elapsed, duration=duration, estimate=estimate, is_waiting=is_waiting, seconds_per_round=seconds_per_round
    )
    assert 1.0 <= interval < math.inf


@repeatable
@given(end=st.floats(60, 1800), error=st.floats(0.8, 1.2), duration=durations)
def test_good_estimate_takes_at_most_eight_polls_and_a_short_delay(
    end: float, error: float, duration: float | None
) -> None:
    polls, delay = polls_until(end, duration, end / error)
    assert polls <= 8
    assert delay <= 0.08 * end / error + ROUNDING


@repeatable
@given(end=st.floats(60, 1800), error=st.floats(1 / 3, 3), duration=durations)
def test_estimate_that_is_wrong_by_a_factor_of_three_takes_at_most_twenty_polls(
    end: float, error: float, duration: float | None
) -> None:
    assert polls_until(end, duration, end / error)[0] <= 20


def test_end_after_a_third_of_the_estimate_is_noticed_soon() -> None:
    assert polls_until(100.0, None, 300.0)[1] < 0.08 * 100.0
