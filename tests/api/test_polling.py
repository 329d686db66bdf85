"""When a training is asked for next."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.api.polling import seconds_until_next_poll
from airflow_provider_akkio.api.types import Duration

ROUNDING = 1e-6
repeatable = settings(max_examples=300, deadline=None, derandomize=True, database=None)
durations = st.sampled_from([None, *(float(duration) for duration in Duration)])
seconds = st.floats(0, 1e9)


def polls(ends: float, duration: float | None, estimate: float | None) -> tuple[int, float]:
    """Ask for a training until it has ended, and return how often, and how late its end was seen.

    Akkio's estimate is known from the first question on, as for a training that begins at once.
    """
    now = seconds_until_next_poll(0.0, duration=duration)
    asked = 1
    while now < ends:
        now += seconds_until_next_poll(now, duration=duration, estimate=estimate)
        asked += 1
    return asked, now - ends


@pytest.mark.parametrize(("elapsed", "wait"), [(0.0, 2.0), (0.5, 1.5), (1.0, 1.0), (1.9, 1.0), (-600.0, 2.0)])
def test_nothing_is_asked_before_two_seconds_have_passed(elapsed: float, wait: float) -> None:
    assert seconds_until_next_poll(elapsed, duration=60, estimate=60, is_waiting=True) == wait
    assert seconds_until_next_poll(elapsed) == wait


@pytest.mark.parametrize(("elapsed", "wait"), [(2, 1), (10, 5), (119, 59.5), (120, 60), (5000, 60)])
def test_while_akkio_has_not_begun_the_interval_is_half_of_the_time_passed(elapsed: float, wait: float) -> None:
    assert seconds_until_next_poll(elapsed, duration=1800, estimate=1800, is_waiting=True, seconds_per_round=100) == wait


@pytest.mark.parametrize(
    ("elapsed", "wait"), [(2, 33.5), (35.4, 1), (35.5, 52.5), (83.5, 4.5), (88, 8), (120, 8), (127.9, 8)]
)
def test_an_estimate_is_asked_for_at_a_third_of_it_and_in_steps_around_it(elapsed: float, wait: float) -> None:
    assert seconds_until_next_poll(elapsed, estimate=100) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("duration", "early"), [(10, 35.5), (24, 35.5), (25, 26.25), (60, 63), (69, 72.45), (70, 35.5), (300, 35.5)]
)
def test_a_duration_that_may_be_nearer_than_the_estimate_moves_the_early_question(
    duration: float, early: float
) -> None:
    assert 10 + seconds_until_next_poll(10, duration=duration, estimate=100) == pytest.approx(early)


@pytest.mark.parametrize(("elapsed", "then"), [(2, 4), (10, 20), (40, 80), (50, 88), (88, 96), (127, 135)])
def test_without_an_estimate_the_duration_is_expected_and_asked_for_at_each_doubling(
    elapsed: float, then: float
) -> None:
    assert elapsed + seconds_until_next_poll(elapsed, duration=100) == pytest.approx(then)


def test_an_estimate_of_hours_stops_no_questions() -> None:
    assert 10 + seconds_until_next_poll(10, duration=10, estimate=60_000) == 20
    assert 10 + seconds_until_next_poll(10, estimate=60_000) == 20


@pytest.mark.parametrize("elapsed", [128, 200, 5000])
def test_after_the_expected_end_the_interval_grows_with_the_time_passed(elapsed: float) -> None:
    assert (
        seconds_until_next_poll(elapsed, estimate=100)
        == seconds_until_next_poll(elapsed, duration=100)
        == pytest.approx(0.1 * elapsed)
    )


@pytest.mark.parametrize(("seconds_per_round", "then"), [(0, 35.5), (25, 35.5), (30, 40), (78, 88), (1000, 88)])
def test_an_early_question_comes_no_sooner_than_a_round_of_the_account(seconds_per_round: float, then: float) -> None:
    assert 10 + seconds_until_next_poll(10, estimate=100, seconds_per_round=seconds_per_round) == pytest.approx(then)
    assert seconds_until_next_poll(90, estimate=100, seconds_per_round=seconds_per_round) == pytest.approx(8)


@pytest.mark.parametrize(("seconds_per_round", "wait"), [(0, 50), (49, 50), (70, 70), (140, 140), (1000, 140)])
def test_with_nothing_to_go_by_it_is_one_round_of_the_account_within_bounds(seconds_per_round: float, wait: float) -> None:
    assert seconds_until_next_poll(1000, seconds_per_round=seconds_per_round) == pytest.approx(wait)


@repeatable
@given(
    elapsed=st.floats(-1e6, 1e9),
    duration=durations,
    estimate=st.none() | seconds,
    is_waiting=st.booleans(),
    seconds_per_round=st.floats(0, math.inf),
)
def test_it_is_never_below_one_second_nor_without_an_end(
    elapsed: float, duration: float | None, estimate: float | None, is_waiting: bool, seconds_per_round: float
) -> None:
    interval = seconds_until_next_poll(
        elapsed, duration=duration, estimate=estimate, is_waiting=is_waiting, seconds_per_round=seconds_per_round
    )
    assert 1.0 <= interval < math.inf


@repeatable
@given(ends=st.floats(60, 1800), error=st.floats(0.8, 1.2), duration=durations)
def test_an_honest_estimate_takes_eight_questions_and_is_seen_in_time(
    ends: float, error: float, duration: float | None
) -> None:
    estimate = ends / error
    asked, late = polls(ends, duration, estimate)
    assert asked <= 8
    assert late <= 0.08 * estimate + ROUNDING


@repeatable
@given(ends=st.floats(60, 1800), error=st.floats(1 / 3, 3), duration=durations)
def test_an_estimate_that_is_wrong_by_three_takes_twenty_questions(
    ends: float, error: float, duration: float | None
) -> None:
    assert polls(ends, duration, ends / error)[0] <= 20


@pytest.mark.parametrize("late", [lambda ends: 0.08 * ends / 0.355, lambda ends: ends])
def test_a_third_of_the_estimate_is_seen_soon(late: Callable[[float], float]) -> None:
    assert polls(100.0, None, 300.0)[1] < late(100.0)
